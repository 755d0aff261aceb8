/**
 * Unix sockets with descriptors in their messages (unix(7), SCM_RIGHTS), and readiness told to the event loop.
 */
#include "args.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

/** The kernel allows 253 (SCM_MAX_FD); the contract says 250. */
enum { MOST_FDS = 250, MOST_RECEIVED = 253, MOST_CAPACITY = 64 << 20 };

napi_value method_socketpair(napi_env env, napi_callback_info info) {
  napi_value value;
  size_t given = 1, length = 0;
  napi_get_cb_info(env, info, &given, &value, NULL, NULL);
  bool isArray = false;
  napi_typedarray_type type;
  void *out;
  napi_is_typedarray(env, value, &isArray);
  if (!isArray || napi_get_typedarray_info(env, value, &type, &length, &out, NULL, NULL) != napi_ok || type != napi_int32_array || length < 2) {
    return typeError(env, "socketpair(fds: Int32Array of at least 2)");
  }
  FAULT(env, "socketpair");
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) return integer(env, -errno);
  memcpy(out, fds, sizeof fds);
  return integer(env, 0);
}

/** Reads an array of descriptors. False when it is none; *count above MOST_FDS when there are too many. */
static bool readFds(napi_env env, napi_value value, int fds[MOST_FDS], uint32_t *count) {
  bool isArray = false;
  napi_is_array(env, value, &isArray);
  if (!isArray || napi_get_array_length(env, value, count) != napi_ok) return false;
  for (uint32_t i = 0; i < *count && i < MOST_FDS; i++) {
    napi_value element;
    if (napi_get_element(env, value, i, &element) != napi_ok || !readInteger(env, element, &fds[i])) return false;
  }
  return true;
}

static int32_t sendBytes(int fd, void *bytes, size_t length, const int *fds, uint32_t count) {
  union {
    struct cmsghdr header;
    uint8_t space[CMSG_SPACE(MOST_FDS * sizeof(int))];
  } control = {0};
  struct iovec vector = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
  }
  return result(RETRY(sendmsg(fd, &message, MSG_NOSIGNAL)));
}

napi_value method_sendMessage(napi_env env, napi_callback_info info) {
  napi_value value[3];
  size_t given = 3, length = 0;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  int32_t fd;
  bool isBuffer = false;
  void *bytes;
  int fds[MOST_FDS];
  uint32_t count = 0;
  napi_is_buffer(env, value[1], &isBuffer);
  if (!readInteger(env, value[0], &fd) || !isBuffer || napi_get_buffer_info(env, value[1], &bytes, &length) != napi_ok ||
      !readFds(env, value[2], fds, &count)) {
    return typeError(env, "sendMessage(fd: integer, data: Buffer, fds: integer[])");
  }
  // An empty datagram could not be told from the end of the file.
  if (count > MOST_FDS || length == 0) return integer(env, -EINVAL);
  FAULT(env, "sendMessage");
  return integer(env, sendBytes(fd, bytes, length, fds, count));
}

/** AF_UNIX, SOCK_STREAM and listening, as bits 1, 2 and 4. */
int32_t call_socketKind(const int32_t *arg) {
  int value;
  socklen_t length = sizeof value;
  if (getsockopt(arg[0], SOL_SOCKET, SO_DOMAIN, &value, &length) < 0) return -errno;
  int32_t kind = value == AF_UNIX ? 1 : 0;
  if (getsockopt(arg[0], SOL_SOCKET, SO_TYPE, &value, &length) < 0) return -errno;
  if (value == SOCK_STREAM) kind |= 2;
  if (getsockopt(arg[0], SOL_SOCKET, SO_ACCEPTCONN, &value, &length) < 0) return -errno;
  return value ? kind | 4 : kind;
}

int32_t call_closeOnExec(const int32_t *arg) {
  return result(fcntl(arg[0], F_SETFD, arg[1] ? FD_CLOEXEC : 0));
}

/** sendto(2) from a socket of its own. '@' before the address is the NUL of an abstract one (unix(7)). */
static int32_t sendDatagram(const uint8_t *address, size_t addressLength, const void *bytes, size_t length) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  bool isAbstract = address[0] == '@';
  // A path needs room for its NUL; an abstract name is as long as the length says.
  if (addressLength > sizeof to.sun_path - (isAbstract ? 0 : 1)) return -ENAMETOOLONG;
  memcpy(to.sun_path, address, addressLength);
  if (isAbstract) to.sun_path[0] = 0;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + addressLength + (isAbstract ? 0 : 1));
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int32_t sent = result(RETRY(sendto(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, size)));
  close(fd);
  return sent;
}

napi_value method_sendDatagram(napi_env env, napi_callback_info info) {
  napi_value value[2];
  size_t given = 2, length = 0, addressLength = 0;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  void *bytes, *address;
  bool isBuffer = false, isAddress = false;
  napi_is_buffer(env, value[0], &isAddress);
  napi_is_buffer(env, value[1], &isBuffer);
  if (!isAddress || !isBuffer || napi_get_buffer_info(env, value[0], &address, &addressLength) != napi_ok ||
      napi_get_buffer_info(env, value[1], &bytes, &length) != napi_ok) {
    return typeError(env, "sendDatagram(address: Buffer, data: Buffer)");
  }
  if (addressLength == 0 || length == 0) return integer(env, -EINVAL);
  FAULT(env, "sendDatagram");
  return integer(env, sendDatagram(address, addressLength, bytes, length));
}

struct Received {
  ssize_t length;
  int fds[MOST_RECEIVED];
  uint32_t count;
};

static void closeAll(const struct Received *received) {
  for (uint32_t i = 0; i < received->count; i++) close(received->fds[i]);
}

/** recvmsg(2) into bytes. 0 or a negative errno; every descriptor that came is in `received`, or closed. */
static int32_t receiveBytes(int fd, uint8_t *bytes, size_t capacity, struct Received *received) {
  union {
    struct cmsghdr header;
    uint8_t space[CMSG_SPACE(MOST_RECEIVED * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
  } control;
  struct iovec vector = {.iov_base = bytes, .iov_len = capacity};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  received->count = 0;
  received->length = RETRY(recvmsg(fd, &message, MSG_CMSG_CLOEXEC));
  if (received->length < 0) return -errno;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    uint32_t count = (uint32_t)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    if (count > MOST_RECEIVED - received->count) count = MOST_RECEIVED - received->count; // never: the kernel sends one part of at most 253
    memcpy(received->fds + received->count, CMSG_DATA(part), count * sizeof(int));
    received->count += count;
  }
  if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) return 0;
  closeAll(received);
  return -EMSGSIZE;
}

/** {data, fds}; NULL with an exception pending when the environment is out of memory. */
static napi_value describe(napi_env env, const uint8_t *bytes, const struct Received *received) {
  napi_value object, data, fds;
  if (napi_create_object(env, &object) != napi_ok || napi_create_buffer_copy(env, (size_t)received->length, bytes, NULL, &data) != napi_ok ||
      napi_create_array_with_length(env, received->count, &fds) != napi_ok) {
    return NULL;
  }
  for (uint32_t i = 0; i < received->count; i++) napi_set_element(env, fds, i, integer(env, received->fds[i]));
  napi_set_named_property(env, object, "data", data);
  napi_set_named_property(env, object, "fds", fds);
  return object;
}

napi_value method_receiveMessage(napi_env env, napi_callback_info info) {
  napi_value value[2];
  size_t given = 2;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  int32_t fd, capacity;
  if (!readInteger(env, value[0], &fd) || !readInteger(env, value[1], &capacity)) {
    return typeError(env, "receiveMessage(fd: integer, capacity: integer)");
  }
  if (capacity < 1 || capacity > MOST_CAPACITY) return integer(env, -EINVAL);
  FAULT(env, "receiveMessage");
  uint8_t *bytes = malloc((size_t)capacity);
  if (!bytes) return integer(env, -ENOMEM);
  struct Received received;
  napi_value out;
  int32_t error = receiveBytes(fd, bytes, (size_t)capacity, &received);
  if (error < 0) {
    out = integer(env, error);
  } else if (received.length == 0 && received.count == 0) {
    napi_get_undefined(env, &out);
  } else if (!(out = describe(env, bytes, &received))) {
    closeAll(&received);
  }
  free(bytes);
  return out;
}

napi_value method_peerCredentials(napi_env env, napi_callback_info info) {
  napi_value value, out, pid, uid, gid;
  size_t given = 1;
  napi_get_cb_info(env, info, &given, &value, NULL, NULL);
  int32_t fd;
  if (!readInteger(env, value, &fd)) return typeError(env, "peerCredentials(fd: integer)");
  FAULT(env, "peerCredentials");
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return integer(env, -errno);
  napi_create_object(env, &out);
  napi_create_int32(env, peer.pid, &pid);
  napi_create_uint32(env, peer.uid, &uid);
  napi_create_uint32(env, peer.gid, &gid);
  napi_set_named_property(env, out, "pid", pid);
  napi_set_named_property(env, out, "uid", uid);
  napi_set_named_property(env, out, "gid", gid);
  return out;
}

// ---- watchReadable -------------------------------------------------------------------------------------------------------------------

/**
 * One watched descriptor. Two hold it: the loop, until the handle is closed, and the stop function, until it is collected; the last one
 * frees it. The cleanup hook stays until the handle is closed, because an environment must not end with a handle open on its loop.
 */
struct Watch {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  napi_async_cleanup_hook_handle hook;
  bool stopped;
  int holders;
};

static void release(struct Watch *watch) {
  if (--watch->holders == 0) free(watch);
}

static void onClosed(uv_handle_t *handle) {
  struct Watch *watch = handle->data;
  napi_remove_async_cleanup_hook(watch->hook);
  release(watch);
}

static void stopWatch(struct Watch *watch) {
  if (watch->stopped) return;
  watch->stopped = true;
  uv_poll_stop(&watch->poll);
  uv_close((uv_handle_t *)&watch->poll, onClosed);
}

static void onEnvironmentEnd(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  stopWatch(data);
}

static void onStopCollected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  release(data);
}

/** An error status is readiness too: whoever reads finds the reason. What the callback throws is an uncaught exception. */
static void onReadable(uv_poll_t *handle, int status, int ready) {
  (void)status;
  (void)ready;
  struct Watch *watch = handle->data;
  napi_handle_scope scope;
  napi_value callback, global, error;
  if (napi_open_handle_scope(watch->env, &scope) != napi_ok) return;
  napi_get_reference_value(watch->env, watch->callback, &callback);
  napi_get_global(watch->env, &global);
  if (napi_make_callback(watch->env, NULL, global, callback, 0, NULL, NULL) == napi_pending_exception) {
    napi_get_and_clear_last_exception(watch->env, &error);
    napi_fatal_exception(watch->env, error);
  }
  napi_close_handle_scope(watch->env, scope);
}

static napi_value stop(napi_env env, napi_callback_info info) {
  void *data;
  napi_get_cb_info(env, info, NULL, NULL, NULL, &data);
  struct Watch *watch = data;
  if (!watch->stopped) napi_delete_reference(env, watch->callback);
  stopWatch(watch);
  return NULL;
}

static napi_value throwUv(napi_env env, int error) {
  napi_throw_error(env, uv_err_name(error), uv_strerror(error));
  return NULL;
}

/** Starts the watch on the environment's loop. 0 or a negative errno, and then the watch is gone. */
static int startWatch(napi_env env, struct Watch *watch, int fd) {
  uv_loop_t *loop;
  int error = napi_get_uv_event_loop(env, &loop) == napi_ok ? uv_poll_init(loop, &watch->poll, fd) : UV_EINVAL;
  if (error < 0) {
    free(watch);
    return error;
  }
  watch->poll.data = watch;
  napi_add_async_cleanup_hook(env, onEnvironmentEnd, watch, &watch->hook);
  error = uv_poll_start(&watch->poll, UV_READABLE, onReadable);
  if (error < 0) stopWatch(watch);
  return error;
}

napi_value method_watchReadable(napi_env env, napi_callback_info info) {
  napi_value value[2], out, stopFunction;
  size_t given = 2;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  int32_t fd;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value[1], &type);
  if (!readInteger(env, value[0], &fd) || type != napi_function) return typeError(env, "watchReadable(fd: integer, callback: function)");
  int32_t fault = faultCheck("watchReadable");
  if (fault < 0 || fd < 0) return throwUv(env, fault < 0 ? fault : UV_EBADF);
  struct Watch *watch = calloc(1, sizeof *watch);
  if (!watch) return throwUv(env, UV_ENOMEM);
  watch->env = env;
  watch->holders = 1;
  int error = startWatch(env, watch, fd);
  if (error < 0) return throwUv(env, error);
  napi_create_reference(env, value[1], 1, &watch->callback);
  napi_create_object(env, &out);
  napi_create_function(env, "stop", NAPI_AUTO_LENGTH, stop, watch, &stopFunction);
  if (napi_add_finalizer(env, stopFunction, watch, onStopCollected, NULL, NULL) == napi_ok) watch->holders++;
  napi_set_named_property(env, out, "stop", stopFunction);
  return out;
}
