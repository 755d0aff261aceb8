/**
 * Waiting and waking: futex words in the arena, epoll, eventfd.
 */
#include "args.h"

#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/** The futexes are not FUTEX_PRIVATE: another process may map the same arena. The deadline is absolute, so a signal does not prolong it. */
int32_t call_futexWait(const int32_t *arg) {
  ALIGNED(word, arg[0], sizeof(uint32_t), 4);
  struct timespec deadline, *limit = NULL;
  if (arg[2] >= 0) {
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += arg[2] / 1000;
    deadline.tv_nsec += arg[2] % 1000 * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
      deadline.tv_sec++;
      deadline.tv_nsec -= 1000000000L;
    }
    limit = &deadline;
  }
  return result(RETRY(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, arg[1], limit, NULL, FUTEX_BITSET_MATCH_ANY)));
}

int32_t call_futexWake(const int32_t *arg) {
  ALIGNED(word, arg[0], sizeof(uint32_t), 4);
  if (arg[1] < 0) return -EINVAL;
  return result(syscall(SYS_futex, word, FUTEX_WAKE, arg[1], NULL, NULL, 0));
}

int32_t call_epollCreate(const int32_t *arg) {
  (void)arg;
  return result(epoll_create1(EPOLL_CLOEXEC));
}

int32_t call_epollAdd(const int32_t *arg) {
  struct epoll_event event = {.events = (uint32_t)arg[2], .data.u64 = (uint32_t)arg[3]};
  return result(epoll_ctl(arg[0], EPOLL_CTL_ADD, arg[1], &event));
}

int32_t call_epollDelete(const int32_t *arg) {
  return result(epoll_ctl(arg[0], EPOLL_CTL_DEL, arg[1], NULL));
}

enum { EPOLL_BATCH = 128 };

int32_t call_epollWait(const int32_t *arg) {
  if (arg[2] < 1) return -EINVAL;
  if (arg[2] > INT32_MAX / 8) return -EFAULT;
  BYTES(out, arg[1], arg[2] * 8);
  int most = arg[2] < EPOLL_BATCH ? arg[2] : EPOLL_BATCH;
  struct epoll_event events[EPOLL_BATCH];
  int n = epoll_wait(arg[0], events, most, arg[3] < 0 ? -1 : arg[3]);
  if (n < 0) return errno == EINTR ? 0 : -errno;
  for (int i = 0; i < n; i++) {
    uint32_t pair[2] = {events[i].data.u32, events[i].events};
    memcpy(out + i * sizeof pair, pair, sizeof pair);
  }
  return n;
}

int32_t call_eventfd(const int32_t *arg) {
  (void)arg;
  return result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

int32_t call_eventfdSignal(const int32_t *arg) {
  uint64_t one = 1;
  return RETRY(write(arg[0], &one, sizeof one)) < 0 ? -errno : 0;
}

int32_t call_eventfdDrain(const int32_t *arg) {
  uint64_t count = 0;
  if (RETRY(read(arg[0], &count, sizeof count)) < 0) return -errno;
  return count > INT32_MAX ? INT32_MAX : (int32_t)count;
}
