# store/base: files of this directory
