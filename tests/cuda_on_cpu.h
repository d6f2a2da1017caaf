// CUDA's words on a CPU, for the tests: the threads of a block are fibers that are switched at barriers.
//
// Threads run one after the other, in either order, from barrier to barrier: what needs a barrier that is
// not there reads what is not yet written, in one of the two orders. Shared memory starts full of NaN.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <csetjmp>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __ldg(pointer) (*(pointer))

struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;
using std::sqrt; using std::exp; using std::pow; using std::floor; using std::fabs; using std::fma;
using std::min; using std::max;

namespace on_cpu {

struct Fiber { ucontext_t start; jmp_buf here; bool begun, done, waiting; char* stack; };
static std::vector<Fiber> fibers;
static jmp_buf scheduler;
static int current;
static void (*body)(void**);
static void** body_arguments;
static char* pool = nullptr;
static const size_t STACK = 256 * 1024;

static void run_fiber() {
    body(body_arguments);
    fibers[current].done = true;
    _longjmp(scheduler, 1);
}

static void barrier() {
    fibers[current].waiting = true;
    if (!_setjmp(fibers[current].here)) _longjmp(scheduler, 1);
    threadIdx.x = current;
}

static void resume(int k) {
    current = k;
    threadIdx.x = k;
    if (_setjmp(scheduler)) return;
    Fiber& f = fibers[k];
    if (f.begun) _longjmp(f.here, 1);
    f.begun = true;
    setcontext(&f.start);
}

// 0 if all went well, 1 if some threads waited at a barrier that others never reached.
static int launch(void (*kernel)(void**), void** arguments, int blocks, int threads, size_t shared, int backward) {
    body = kernel;
    body_arguments = arguments;
    pool = (char*)malloc(shared + 1);
    fibers.resize(threads);
    for (auto& f : fibers) f.stack = (char*)malloc(STACK);
    gridDim = {(unsigned)blocks, 1, 1};
    blockDim = {(unsigned)threads, 1, 1};
    int status = 0;
    for (int b = 0; b < blocks && !status; ++b) {
        int block = backward ? blocks - 1 - b : b;
        blockIdx = {(unsigned)block, 0, 0};
        memset(pool, 0xff, shared);
        for (auto& f : fibers) {
            getcontext(&f.start);
            f.start.uc_stack.ss_sp = f.stack;
            f.start.uc_stack.ss_size = STACK;
            f.start.uc_link = nullptr;
            makecontext(&f.start, run_fiber, 0);
            f.begun = f.done = f.waiting = false;
        }
        for (int left = threads; left > 0 && !status;) {
            int waiting = 0, ended = 0;
            for (int t = 0; t < threads; ++t) {
                int k = backward ? threads - 1 - t : t;
                if (fibers[k].done) continue;
                fibers[k].waiting = false;
                resume(k);
                if (fibers[k].done) ++ended; else ++waiting;
            }
            left -= ended;
            if (ended && waiting) status = 1;
        }
    }
    for (auto& f : fibers) free(f.stack);
    free(pool);
    return status;
}

}  // namespace on_cpu

static inline void __syncthreads() { on_cpu::barrier(); }
