# net/proto: files of this directory
EXTRA_DIST += net/proto/README.md
noinst_LIBRARIES += libproto.a
libproto_a_SOURCES = \
	net/proto/base64.c \
	net/proto/base64.h \
	net/proto/command.def \
	net/proto/compose.c \
	net/proto/compose.h \
	net/proto/line.c \
	net/proto/line.h \
	net/proto/meta_parse.c \
	net/proto/meta_parse.h \
	net/proto/number.h \
	net/proto/request.h \
	net/proto/response.c \
	net/proto/response.h \
	net/proto/scan.h \
	net/proto/text_parse.c \
	net/proto/text_parse.h
