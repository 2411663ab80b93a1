#include <string.h>
#include <zlib.h>

// inflateInit2 is a macro, which Swift does not import. 15 + 32: the largest window, and a gzip or zlib header.
static inline int retort_inflate_start(z_stream *stream) {
  memset(stream, 0, sizeof *stream);
  return inflateInit2(stream, 15 + 32);
}
