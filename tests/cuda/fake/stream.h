/* What the stand-ins share: putting work into a stream. It runs when something waits for it, in an
 * order between streams that is random within what events demand. */
#ifndef FAKE_STREAM_H
#define FAKE_STREAM_H

#include <functional>

namespace fake {
void enqueue(void *stream, std::function<void()> work);
/* The bytes lie inside one allocation of device memory. */
bool on_device(const void *p, size_t bytes);
} // namespace fake

/* Work that others take part in, for libraries that the program opens (nccl.c): the stream stays
 * there until is_done(ud) says true. It is asked from time to time by whoever waits. */
extern "C" void fake_cuda_other(void *stream, bool (*is_done)(void *ud), void *ud);

#endif
