# tests: files of this directory
