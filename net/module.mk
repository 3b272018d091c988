# net: files of this directory
