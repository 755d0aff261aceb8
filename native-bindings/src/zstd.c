/**
 * Streams of zstd: Node 20 has none. A stream belongs to the thread that made it and is freed with its JavaScript object.
 *
 * A step takes what it can from one buffer and puts what it can into another; how far it came is in `at`. Nothing here waits or keeps a buffer.
 */
#include "args.h"

#include <stdlib.h>
#include <zstd.h>

struct Stream {
  /** one of the two */
  ZSTD_DCtx *decompress;
  ZSTD_CCtx *compress;
};

static void freeStream(napi_env env, void *data, void *hint) {
  (void)env, (void)hint;
  struct Stream *stream = data;
  ZSTD_freeDCtx(stream->decompress);
  ZSTD_freeCCtx(stream->compress);
  free(stream);
}

/** What tells our objects from other externals. */
static const napi_type_tag TAG = {0x706c7966735a5354, 0x44a1c0de00000001};

static int32_t newStream(struct Stream **out, int32_t level) {
  if (level > ZSTD_maxCLevel()) return -EINVAL;
  struct Stream *stream = calloc(1, sizeof *stream);
  if (!stream) return -ENOMEM;
  *out = stream;
  if (level < 0) return (stream->decompress = ZSTD_createDCtx()) ? 0 : -ENOMEM;
  stream->compress = ZSTD_createCCtx();
  if (!stream->compress) return -ENOMEM;
  size_t set = ZSTD_CCtx_setParameter(stream->compress, ZSTD_c_compressionLevel, level);
  // The frame says its content's checksum, as zstd(1) writes it.
  if (!ZSTD_isError(set)) set = ZSTD_CCtx_setParameter(stream->compress, ZSTD_c_checksumFlag, 1);
  return ZSTD_isError(set) ? -EINVAL : 0;
}

napi_value method_zstdStream(napi_env env, napi_callback_info info) {
  napi_value value, object;
  size_t given = 1;
  int32_t level;
  napi_get_cb_info(env, info, &given, &value, NULL, NULL);
  if (!readInteger(env, value, &level)) return typeError(env, "zstdStream(level: number)");
  FAULT(env, "zstdStream");
  struct Stream *stream = NULL;
  int32_t error = newStream(&stream, level);
  if (error == 0 && (napi_create_external(env, stream, freeStream, NULL, &object) != napi_ok || napi_type_tag_object(env, object, &TAG) != napi_ok))
    error = -ENOMEM;
  else if (error == 0)
    return object;
  if (stream) freeStream(env, stream, NULL);
  return integer(env, error);
}

static struct Stream *streamOf(napi_env env, napi_value value) {
  bool ours = false;
  void *data = NULL;
  if (napi_check_object_type_tag(env, value, &TAG, &ours) != napi_ok || !ours) return NULL;
  return napi_get_value_external(env, value, &data) == napi_ok ? data : NULL;
}

/** The bytes of a Uint8Array or Buffer. */
static bool bytesOf(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  bool is = false;
  napi_typedarray_type type;
  return napi_is_typedarray(env, value, &is) == napi_ok && is &&
         napi_get_typedarray_info(env, value, &type, length, (void **)data, NULL, NULL) == napi_ok && type == napi_uint8_array;
}

static bool positionsOf(napi_env env, napi_value value, uint32_t **data) {
  bool is = false;
  napi_typedarray_type type;
  size_t length = 0;
  return napi_is_typedarray(env, value, &is) == napi_ok && is &&
         napi_get_typedarray_info(env, value, &type, &length, (void **)data, NULL, NULL) == napi_ok && type == napi_uint32_array && length == 2;
}

static size_t step(struct Stream *stream, ZSTD_inBuffer *in, ZSTD_outBuffer *out, bool end) {
  if (stream->decompress) return ZSTD_decompressStream(stream->decompress, out, in);
  return ZSTD_compressStream2(stream->compress, out, in, end ? ZSTD_e_end : ZSTD_e_continue);
}

napi_value method_zstdStep(napi_env env, napi_callback_info info) {
  napi_value value[5];
  size_t given = 5;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  struct Stream *stream = streamOf(env, value[0]);
  uint8_t *input, *output;
  size_t inputLength, outputLength;
  uint32_t *at;
  int32_t end;
  if (!stream || !bytesOf(env, value[1], &input, &inputLength) || !bytesOf(env, value[2], &output, &outputLength) ||
      !positionsOf(env, value[3], &at) || !readInteger(env, value[4], &end))
    return typeError(env, "zstdStep(stream, input: Uint8Array, output: Uint8Array, at: Uint32Array(2), end: number)");
  FAULT(env, "zstdStep");
  if (at[0] > inputLength || at[1] > outputLength) return integer(env, -EINVAL);
  ZSTD_inBuffer in = {.src = input, .size = inputLength, .pos = at[0]};
  ZSTD_outBuffer out = {.dst = output, .size = outputLength, .pos = at[1]};
  size_t left = step(stream, &in, &out, end != 0);
  if (ZSTD_isError(left)) return integer(env, -EBADMSG);
  at[0] = (uint32_t)in.pos;
  at[1] = (uint32_t)out.pos;
  return integer(env, left == 0 ? 0 : 1);
}
