# store: files of this directory
