/* Stream capture and graphs, as far as they are one stream's: a row of operations that is kept, and
 * given to a stream as often as somebody asks. Nothing of it happens before. */
#include "runtime.h"
#include <set>
#include <vector>

struct CUgraph_st {
    std::vector<emu::op> ops;
};
struct CUgraphExec_st {
    std::vector<emu::op> ops;
};

namespace emu
{
std::atomic<uint64_t> graphs_made, graphs_updated;
static std::set<cudaGraph_t> graphs;
static std::set<cudaGraphExec_t> execs;
static std::set<cudaStream_t> capturing;

/* A name of the calling thread; 0 is nobody's. */
static uint64_t this_thread()
{
    static std::atomic<uint64_t> next;
    static thread_local const uint64_t mine = ++next;
    return mine;
}

cudaError_t push(cudaStream_t stream, const op &o)
{
    CUstream_st *const s = stream_of(stream);
    if (!s->captured) {
        s->ops.push_back(o);
        return cudaSuccess;
    }
    if (s->invalid)
        return cudaErrorStreamCaptureInvalidated;
    if (o.kind == op::RECORD || o.kind == op::WAIT)
        fail("an event of a captured stream: the emulator's graphs are one stream's");
    s->captured->ops.push_back(o);
    return cudaSuccess;
}

cudaError_t capture_broken(cudaStream_t stream)
{
    if (stream_of(stream)->captured)
        stream_of(stream)->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
}

/* GLOBAL: calls of any thread; THREAD_LOCAL: of the one that began it; RELAXED: of none. */
bool capture_forbids()
{
    bool ret = false;
    for (cudaStream_t s : capturing)
        if (s->mode == cudaStreamCaptureModeGlobal ||
            (s->mode == cudaStreamCaptureModeThreadLocal && s->thread == this_thread()))
            ret = s->invalid = true;
    return ret;
}

static cudaGraph_t graph_of(cudaGraph_t graph)
{
    if (!graphs.count(graph))
        fail("a graph that does not exist");
    return graph;
}
static cudaGraphExec_t exec_of(cudaGraphExec_t exec)
{
    if (!execs.count(exec))
        fail("an executable graph that does not exist");
    return exec;
}

/* An update changes what nodes do, and not which there are. */
static cudaGraphExecUpdateResult update(std::vector<op> &to, const std::vector<op> &from)
{
    if (to.size() != from.size())
        return cudaGraphExecUpdateErrorTopologyChanged;
    for (size_t i = 0; i < to.size(); i++) {
        if (to[i].kind != from[i].kind)
            return cudaGraphExecUpdateErrorNodeTypeChanged;
        if (to[i].run && to[i].run->early != from[i].run->early)
            return cudaGraphExecUpdateErrorTopologyChanged;
    }
    to = from;
    return cudaGraphExecUpdateSuccess;
}
} // namespace emu
using namespace emu;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    return call([&] {
        if (settings.no_graphs)
            return cudaErrorNotSupported;
        CUstream_st *const s = stream_of(stream);
        if (!stream || s->captured)
            return cudaErrorStreamCaptureUnsupported;
        s->captured = new CUgraph_st;
        s->invalid = false;
        s->mode = mode;
        s->thread = this_thread();
        capturing.insert(s);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *ret)
{
    return call([&] {
        CUstream_st *const s = stream_of(stream);
        *ret = NULL;
        if (!s->captured)
            return cudaErrorInvalidValue;
        if (s->mode != cudaStreamCaptureModeRelaxed && s->thread != this_thread())
            return cudaErrorStreamCaptureWrongThread;
        capturing.erase(s);
        cudaGraph_t graph = s->captured;
        s->captured = NULL;
        if (s->invalid) {
            delete graph;
            return cudaErrorStreamCaptureInvalidated;
        }
        graphs.insert(*ret = graph);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *ret)
{
    return call([&] {
        const CUstream_st *const s = stream_of(stream);
        *ret = !s->captured ? cudaStreamCaptureStatusNone
               : s->invalid ? cudaStreamCaptureStatusInvalidated
                            : cudaStreamCaptureStatusActive;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    return call([&] {
        if (nodes)
            fail("cudaGraphGetNodes: the emulator only counts them");
        *count = graph_of(graph)->ops.size();
        return cudaSuccess;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return call([&] {
        delete graph_of(graph);
        graphs.erase(graph);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ret, cudaGraph_t graph, unsigned long long flags)
{
    return call([&] {
        if (flags)
            return cudaErrorInvalidValue;
        graphs_made++;
        execs.insert(*ret = new CUgraphExec_st{graph_of(graph)->ops});
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo *ret)
{
    return call([&] {
        *ret = {update(exec_of(exec)->ops, graph_of(graph)->ops), NULL, NULL};
        graphs_updated += ret->result == cudaGraphExecUpdateSuccess;
        return ret->result == cudaGraphExecUpdateSuccess ? cudaSuccess
                                                         : cudaErrorGraphExecUpdateFailure;
    });
}

/* Kernels of a graph do not overlap those before and behind it. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    return call([&] {
        const op apart = {op::APART, NULL, NULL, NULL, 0, 0, NULL, 0};
        if (stream_of(stream)->captured)
            fail("a graph within a graph is not emulated");
        launches++;
        push(stream, apart);
        for (const op &o : exec_of(exec)->ops)
            push(stream, o);
        return push(stream, apart);
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return call([&] {
        delete exec_of(exec);
        execs.erase(exec);
        return cudaSuccess;
    });
}
