# bench: files of this directory
