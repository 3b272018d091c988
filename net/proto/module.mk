# net/proto: files of this directory
