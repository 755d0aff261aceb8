/**
 * The addon's functions, one row each; ../index.ts says what they do.
 *
 * CALL(name, count): `count` 32-bit integers in, one out. The C function call_<name> gets them checked to be integers, and returns the
 * result or a negative errno. Everything that is called often is of this kind.
 * METHOD(name): strings, buffers or objects; the C function method_<name> is a plain Node-API callback.
 */
#ifndef PLYFS_CALLS_H
#define PLYFS_CALLS_H

#include <node_api.h>
#include <stdint.h>

#define PLYFS_CALLS(CALL) \
  CALL(arenaCreate, 1) \
  CALL(arenaAttach, 2) \
  CALL(arenaPunch, 2) \
  CALL(futexWait, 3) \
  CALL(futexWake, 2) \
  CALL(fuseOpen, 0) \
  CALL(fuseClone, 1) \
  CALL(recv, 3) \
  CALL(send, 3) \
  CALL(sendRecv, 6) \
  CALL(backingOpen, 2) \
  CALL(backingClose, 2) \
  CALL(backingOpenAt, 3) \
  CALL(ringProbe, 0) \
  CALL(ringCreate, 2) \
  CALL(ringClose, 0) \
  CALL(ringFile, 2) \
  CALL(ringRegister, 1) \
  CALL(ringCommit, 3) \
  CALL(ringPoll, 3) \
  CALL(ringNop, 1) \
  CALL(ringSubmit, 0) \
  CALL(ringNext, 5) \
  CALL(ringRefuse, 1) \
  CALL(epollCreate, 0) \
  CALL(epollAdd, 4) \
  CALL(epollDelete, 2) \
  CALL(epollWait, 4) \
  CALL(eventfd, 0) \
  CALL(eventfdSignal, 1) \
  CALL(eventfdDrain, 1) \
  CALL(openat, 4) \
  CALL(openBeneath, 4) \
  CALL(openDirectory, 4) \
  CALL(openHost, 3) \
  CALL(close, 1) \
  CALL(dup, 1) \
  CALL(cloneMount, 3) \
  CALL(fuseMount, 1) \
  CALL(mountId, 1) \
  CALL(openOnMount, 2) \
  CALL(moveDescriptor, 2) \
  CALL(lockDirectory, 1) \
  CALL(stat, 3) \
  CALL(statAll, 4) \
  CALL(mkdirat, 3) \
  CALL(mknodat, 4) \
  CALL(symlinkat, 3) \
  CALL(readlinkat, 4) \
  CALL(unlinkat, 3) \
  CALL(renameat2, 5) \
  CALL(linkat, 4) \
  CALL(fchownat, 4) \
  CALL(fchmodat, 3) \
  CALL(utimensat, 3) \
  CALL(truncateat, 4) \
  CALL(getxattr, 5) \
  CALL(setxattr, 6) \
  CALL(listxattr, 4) \
  CALL(removexattr, 3) \
  CALL(copyXattrs, 5) \
  CALL(readDirents, 4) \
  CALL(pread, 5) \
  CALL(pwrite, 5) \
  CALL(lseek, 5) \
  CALL(ficlone, 2) \
  CALL(syncfs, 1) \
  CALL(statvfs, 2) \
  CALL(fileHandle, 5) \
  CALL(filesystemUuid, 2) \
  CALL(getInodeFlags, 2) \
  CALL(setInodeFlags, 2) \
  CALL(jobPoolStart, 1) \
  CALL(jobPoolEvent, 2) \
  CALL(jobSubmit, 1) \
  CALL(pinThread, 1) \
  CALL(timeSlice, 1) \
  CALL(lowerThread, 1) \
  CALL(threadCpu, 1) \
  CALL(umask, 1) \
  CALL(raiseFileLimit, 0) \
  CALL(growFileTable, 1) \
  CALL(exitNow, 1) \
  CALL(closeOnExecFrom, 1) \
  CALL(socketKind, 1) \
  CALL(closeOnExec, 2) \
  CALL(faultClear, 0)

#define PLYFS_METHODS(METHOD) \
  METHOD(arenaBuffer) \
  METHOD(mount) \
  METHOD(umount) \
  METHOD(exec) \
  METHOD(nameThread) \
  METHOD(socketpair) \
  METHOD(sendMessage) \
  METHOD(receiveMessage) \
  METHOD(peerCredentials) \
  METHOD(sendDatagram) \
  METHOD(watchReadable) \
  METHOD(fuseHeader) \
  METHOD(zstdStream) \
  METHOD(zstdStep) \
  METHOD(faultSet)

#define DECLARE_CALL(name, count) int32_t call_##name(const int32_t *arg);
#define DECLARE_METHOD(name) napi_value method_##name(napi_env env, napi_callback_info info);
PLYFS_CALLS(DECLARE_CALL)
PLYFS_METHODS(DECLARE_METHOD)
#undef DECLARE_CALL
#undef DECLARE_METHOD

#endif
