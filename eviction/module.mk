# eviction: files of this directory
