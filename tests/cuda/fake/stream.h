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

#endif
