/* Streams and events. An operation happens when somebody waits, in an order among the streams that
 * the seed chooses. So a result that is read too early is old. */
#include "cuda_emu_external.h"
#include "runtime.h"
#include <algorithm>
#include <map>
#include <unistd.h>

struct CUevent_st {
    uint64_t recorded, passed;
    cudaStream_t stream; // of the last record
};

namespace emu
{
static CUstream_st null_stream;
static std::vector<cudaStream_t> streams = {&null_stream};
static std::map<const void *, size_t> shared_limits; // of kernels that asked for more

static bool of_device(const void *at)
{
    return at >= arena_begin && at < arena_end;
}

static void copy_now(const op &o)
{
    const int kind = o.value;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = of_device(o.to);
        from_device = of_device(o.from);
    }
    if (to_device)
        device_check(o.to, o.bytes, "cudaMemcpy to the device");
    if (from_device)
        device_check(o.from, o.bytes, "cudaMemcpy from the device");
    if (o.bytes && ((!to_device && of_device(o.to)) || (!from_device && of_device(o.from))))
        fail("cudaMemcpy: an address of the device that the direction calls the host's");
    if (counting)
        count_copy(to_device && from_device ? "cudaMemcpy on the device"
                   : to_device              ? "cudaMemcpy to the device"
                                            : "cudaMemcpy to the host",
                   from_device ? o.bytes : 0, to_device ? o.bytes : 0);
    memmove(o.to, o.from, o.bytes);
    check_host_wrote(o.to, o.bytes);
}

static bool blocked(cudaStream_t s)
{
    op &o = s->ops.front();
    if (o.kind == op::EXTERNAL && !o.value)
        o.value = o.poll((void *)o.from);
    if (o.kind == op::EXTERNAL)
        return !o.value;
    return o.kind == op::WAIT && o.event->passed < o.turn;
}

/* What goes on by itself is waited for without the lock: other threads make calls meanwhile. */
static void wait_external()
{
    bool any = false;
    for (cudaStream_t s : streams)
        any |= !s->ops.empty() && s->ops.front().kind == op::EXTERNAL;
    if (!any)
        fail("every stream waits for an event that is never recorded");
    mutex.unlock();
    usleep(200);
    mutex.lock();
}

static void step(cudaStream_t s)
{
    const op o = s->ops.front();
    s->ops.pop_front();
    if (o.kind == op::LAUNCH)
        s->unsafe_from = run(*o.run, s->unsafe_from);
    else if (o.kind != op::RECORD)
        s->unsafe_from = 0;
    switch (o.kind) {
    case op::LAUNCH:
    case op::APART:
        break;
    case op::COPY:
        copy_now(o);
        break;
    case op::SET:
        device_check(o.to, o.bytes, "cudaMemset");
        if (counting)
            count_copy("cudaMemset", 0, o.bytes);
        memset(o.to, o.value, o.bytes);
        check_host_wrote(o.to, o.bytes);
        break;
    case op::RECORD:
        o.event->passed = o.turn;
        break;
    case op::EXTERNAL:
        if (o.to)
            device_check(o.to, o.bytes, "another library");
        check_host_wrote(o.to, o.to ? o.bytes : 0);
        break;
    case op::WAIT:
        break;
    }
}

/* One operation of some stream: of `wanted`, unless the seed or an event has it otherwise. None
 * where all wait for other libraries' work; then it waits a moment, if it may. */
static void progress(cudaStream_t wanted, bool waits_here = true)
{
    std::vector<cudaStream_t> can;
    for (cudaStream_t s : streams)
        if (!s->ops.empty() && !blocked(s))
            can.push_back(s);
    if (can.empty()) {
        if (waits_here)
            wait_external();
        return;
    }
    if (random(2) == 0 && wanted && !wanted->ops.empty() && !blocked(wanted))
        step(wanted);
    else
        step(can[random(can.size())]);
}

static void drain(cudaStream_t s)
{
    while (!s->ops.empty())
        progress(s);
}

void drain_all()
{
    for (size_t i = 0; i < streams.size(); i++)
        drain(streams[i]);
}

static void pass(cudaEvent_t event)
{
    while (event->passed < event->recorded)
        progress(event->stream);
}

void streams_drop()
{
    for (cudaStream_t s : streams) {
        for (op &o : s->ops)
            if (o.kind == op::RECORD)
                o.event->passed = o.turn;
        s->ops.clear();
    }
}

cudaStream_t stream_of(cudaStream_t s)
{
    if (s && std::find(streams.begin(), streams.end(), s) == streams.end())
        fail("a stream that does not exist");
    return s ? s : &null_stream;
}

/* The limits of a real device. */
static cudaError_t launch_check(const launch &l)
{
    const size_t threads = (size_t)l.block.x * l.block.y * l.block.z;
    const size_t blocks = (size_t)l.grid.x * l.grid.y * l.grid.z;
    const auto limit = shared_limits.find(l.kernel);
    if (!threads || threads > THREADS_MAX || l.block.z > 64)
        return cudaErrorInvalidConfiguration;
    if (!blocks || l.grid.y > 65535 || l.grid.z > 65535 || blocks >> 31)
        return cudaErrorInvalidConfiguration;
    if (l.shared_bytes > (limit == shared_limits.end() ? 48 << 10 : limit->second))
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

static std::shared_ptr<const launch> kept(const launch &l)
{
    return std::make_shared<launch>(l);
}

int enqueue(void *stream, const launch &l)
{
    return call([&] {
        const cudaError_t error = launch_check(l);
        launches += !stream_of((cudaStream_t)stream)->captured;
        return error ? error
                     : push((cudaStream_t)stream, {op::LAUNCH, kept(l), NULL, NULL, 0, 0, NULL, 0});
    });
}
} // namespace emu
using namespace emu;

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    return call([&] {
        if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
            (size_t)value > shared_limit())
            return cudaErrorInvalidValue;
        shared_limits[kernel] = (size_t)value;
        return cudaSuccess;
    });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return call([&] { return push(stream, {op::COPY, NULL, to, from, bytes, kind, NULL, 0}); });
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    return call([&] {
        if (capture_forbids())
            return cudaErrorStreamCaptureUnsupported;
        null_stream.ops.push_back({op::COPY, NULL, to, from, bytes, kind, NULL, 0});
        drain(&null_stream);
        return cudaSuccess;
    });
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream)
{
    return call([&] { return push(stream, {op::SET, NULL, at, NULL, bytes, value, NULL, 0}); });
}

cudaError_t cudaMemset(void *at, int value, size_t bytes)
{
    return cudaMemsetAsync(at, value, bytes, NULL);
}

cudaError_t cuda_emu_external(cudaStream_t stream, int (*poll)(void *arg), void *arg, void *to,
                              size_t bytes)
{
    return call([&] {
        return push(stream, {op::EXTERNAL, NULL, to, arg, bytes, 0, NULL, 0, poll});
    });
}

/* ---- streams */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret, unsigned)
{
    return call([&] {
        streams.push_back(*ret = new CUstream_st{});
        return cudaSuccess;
    });
}

cudaError_t cudaStreamCreate(cudaStream_t *ret)
{
    return cudaStreamCreateWithFlags(ret, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *ret, unsigned flags, int)
{
    return cudaStreamCreateWithFlags(ret, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *ret_least, int *ret_greatest)
{
    return call([&] {
        *ret_least = 0;
        *ret_greatest = -5;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return call([&] {
        if (stream_of(stream)->captured)
            fail("a stream that is destroyed while it is captured");
        drain(stream);
        streams.erase(std::find(streams.begin(), streams.end(), stream));
        delete stream;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    return call([&] {
        waits++;
        if (stream_of(stream)->captured || capture_forbids())
            return capture_broken(stream);
        drain(stream_of(stream));
        return cudaSuccess;
    });
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return call([&] {
        if (stream_of(stream)->captured || capture_forbids())
            return capture_broken(stream);
        if (!stream_of(stream)->ops.empty())
            progress(stream_of(stream), false);
        return stream_of(stream)->ops.empty() ? cudaSuccess : cudaErrorNotReady;
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    return call([&] {
        return push(stream, {op::WAIT, NULL, NULL, NULL, 0, 0, event, event->recorded});
    });
}

/* ---- events */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret, unsigned)
{
    return call([&] {
        *ret = new CUevent_st{};
        return cudaSuccess;
    });
}

cudaError_t cudaEventCreate(cudaEvent_t *ret)
{
    return cudaEventCreateWithFlags(ret, cudaEventDefault);
}

/* What waits for it, waits still: CUDA keeps it until then. */
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return call([&] {
        pass(event);
        for (size_t i = 0; i < streams.size(); i++)
            if (cudaStream_t s = streams[i]; std::any_of(
                    s->ops.begin(), s->ops.end(), [&](const op &o) { return o.event == event; }))
                drain(s);
        delete event;
        return cudaSuccess;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return call([&] {
        event->stream = stream_of(stream);
        return push(stream, {op::RECORD, NULL, NULL, NULL, 0, 0, event, ++event->recorded});
    });
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return call([&] {
        if (event->passed < event->recorded)
            progress(event->stream, false);
        return event->passed < event->recorded ? cudaErrorNotReady : cudaSuccess;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return call([&] {
        waits++;
        if (capture_forbids())
            return cudaErrorStreamCaptureUnsupported;
        pass(event);
        return cudaSuccess;
    });
}

/* No time goes by. */
cudaError_t cudaEventElapsedTime(float *ret_ms, cudaEvent_t begin, cudaEvent_t end)
{
    return call([&] {
        if (begin->passed < begin->recorded || end->passed < end->recorded)
            return cudaErrorNotReady;
        *ret_ms = 0;
        return cudaSuccess;
    });
}
