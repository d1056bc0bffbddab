/* simt.cpp - fiber scheduler for the host build of port.h (tests only). */
#include "simt_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SIMT_TSAN /* set by hand: this file itself must be compiled without -fsanitize=thread */
#include <sanitizer/tsan_interface.h>
extern "C" void AnnotateIgnoreWritesBegin(const char *, int);
extern "C" void AnnotateIgnoreWritesEnd(const char *, int);
extern "C" void __tsan_read16(void *);
extern "C" void __tsan_write16(void *);
#define TSAN_QUIET_BEGIN() AnnotateIgnoreWritesBegin(__FILE__, __LINE__)
#define TSAN_QUIET_END() AnnotateIgnoreWritesEnd(__FILE__, __LINE__)
#else
#define TSAN_QUIET_BEGIN() (void)0
#define TSAN_QUIET_END() (void)0
#endif
#if __has_feature(memory_sanitizer)
#define SIMT_MSAN 1
#include <sanitizer/msan_interface.h>
#endif
#if !defined(__x86_64__) || defined(SIMT_UCONTEXT)
#undef SIMT_UCONTEXT
#define SIMT_UCONTEXT 1   /* portable, slower: two system calls a switch */
#include <ucontext.h>
#endif

namespace simt {
enum { READY, AT_BLOCK, AT_WARP, DONE };
#ifdef SIMT_TSAN
static const size_t STACK = 48 << 10; /* taken fresh for every block, so that its shadow is clean */
#else
static const size_t STACK = 256 << 10;
#endif
struct Pending { void *dst; const void *src; int group; };
struct Fiber {
  Ctx ctx;
  void *sp = nullptr;
  char *stack = nullptr;
  int state = DONE, op = 0;
  unsigned mask = 0;
  bool waiting_pred = false;
  std::vector<Pending> async;
  int async_group = 0;
#ifdef SIMT_ASAN
  void *fake = nullptr;
#endif
  size_t stack_size = STACK;
#ifdef SIMT_TSAN
  void *ts = nullptr;
#endif
#ifdef SIMT_UCONTEXT
  ucontext_t uc;
#endif
};
/* One per distinct mask in use in a warp. Slots are double-buffered: a lane can write buffer b again only two
 * meetings later, when every lane has passed the meeting between, so has read b. One rendezvous per operation. */
struct Group { unsigned mask, need, arrived, gen; int op; char tag[2]; Slot ex[2][32]; };
enum { MAXMASK = 64 };
struct WarpRt { Group *g[MAXMASK]; int have, used; unsigned exist; };

Ctx *cur; uint3 block_idx; dim3 grid_dim, block_dim; void *dyn_smem; Stats stats;
static std::vector<Fiber> &fibers = *new std::vector<Fiber>;   /* never destroyed: still reachable for LeakSanitizer */
static std::vector<WarpRt> &warps = *new std::vector<WarpRt>;
static Fiber *self; static Fiber host;
static const char *kname = "?"; static void (*kfn)(void *); static void *karg;
static unsigned nthreads, arrived_block, pred_sum[2], block_gen;
static char tag_block[2], tag_launch, tag_end;
static int order_mode; static uint64_t rng = 88172645463325252ull;
static size_t static_bytes;
struct SharedVar { const void *tag; void *p; size_t n; };
static std::vector<SharedVar> shared_vars;

static uint32_t rnd() { rng ^= rng << 13; rng ^= rng >> 7; rng ^= rng << 17; return (uint32_t)(rng >> 16); }
void set_order(int m, unsigned seed) { order_mode = m; rng = 88172645463325252ull ^ ((uint64_t)(seed + 1) * 0x9E3779B97F4A7C15ull); }

[[noreturn]] static void die(const char *msg) {
  fprintf(stderr, "simt: %s in %s, block (%u,%u,%u)\n", msg, kname, block_idx.x, block_idx.y, block_idx.z);
  const char *nm[] = {"running", "at __syncthreads", "at a warp operation", "exited"};
  for (unsigned i = 0, shown = 0; i < nthreads && shown < 8; i++)
    if (i == 0 || fibers[i].state != fibers[i - 1].state)
      fprintf(stderr, "simt:   thread %u.. %s (op %d mask %08x)\n", i, nm[fibers[i].state], fibers[i].op, fibers[i].mask), shown++;
  abort();
}

#ifndef SIMT_UCONTEXT
extern "C" void simt_switch(void **save, void *to);
asm(".text\n.globl simt_switch\n.type simt_switch,@function\nsimt_switch:\n"
    " pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
    " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n.size simt_switch,.-simt_switch\n");
#endif
static inline void swap_to(Fiber *from, Fiber *to, bool dying) {
  stats.switches++;
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(dying ? nullptr : &from->fake, to->stack, to->stack_size);
#endif
#ifdef SIMT_TSAN
  __tsan_switch_to_fiber(to->ts, __tsan_switch_to_fiber_no_sync);
#endif
  self = to; cur = &to->ctx;
#ifndef SIMT_UCONTEXT
  simt_switch(&from->sp, to->sp);
#else
  swapcontext(&from->uc, &to->uc);
#endif
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#endif
  (void)dying;
}
static void yield() { swap_to(self, &host, false); }
static inline void rel(void *p) {
#ifdef SIMT_TSAN
  __tsan_release(p);
#endif
  (void)p;
}
static inline void acq(void *p) {
#ifdef SIMT_TSAN
  __tsan_acquire(p);
#endif
  (void)p;
}
static void entry() {
#ifdef SIMT_ASAN
  const void *ob; size_t os;
  __sanitizer_finish_switch_fiber(nullptr, &ob, &os);
  host.stack = (char *)ob; host.stack_size = os;
#endif
  Fiber *f = self;
  acq(&tag_launch);
  kfn(karg);
  if (!f->async.empty()) { async_wait(0); }
  f->state = DONE;
  rel(&tag_end);
  swap_to(f, &host, true);
  abort();
}
static void start(Fiber &f) {
#ifdef SIMT_TSAN
  TSAN_QUIET_BEGIN(); f.stack = (char *)aligned_alloc(4096, STACK); TSAN_QUIET_END();
#endif
  if (!f.stack) {
    char *m = (char *)mmap(nullptr, STACK + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) { perror("simt: mmap"); abort(); }
    mprotect(m, 4096, PROT_NONE);
    f.stack = m + 4096;
  }
#ifdef SIMT_ASAN
  __asan_unpoison_memory_region(f.stack, STACK);  /* frames of the last block's thread never returned */
#endif
#ifndef SIMT_UCONTEXT
  void **top = (void **)(f.stack + STACK) - 3; /* entry() must see rsp = 8 mod 16, as after a call */
  *top = nullptr; *--top = (void *)entry;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  f.sp = top;
#else
  getcontext(&f.uc); f.uc.uc_stack.ss_sp = f.stack; f.uc.uc_stack.ss_size = STACK; f.uc.uc_link = nullptr; makecontext(&f.uc, entry, 0);
#endif
#ifdef SIMT_TSAN
  f.ts = __tsan_create_fiber(0);
#endif
  f.state = READY; f.async.clear(); f.async_group = 0; f.op = 0;
}

int barrier_block_count(int pred) {
  unsigned par = block_gen & 1;
  pred_sum[par] += pred != 0;
  rel(&tag_block[par]);
  self->state = AT_BLOCK; arrived_block++;
  yield();                       /* the scheduler releases everybody at once, then bumps block_gen */
  acq(&tag_block[par]);
  return (int)pred_sum[par];
}
void barrier_block() { barrier_block_count(0); }

const Slot *rendezvous(int op, unsigned mask, const Slot &mine) {
  Fiber *f = self; WarpRt &w = warps[f->ctx.warp];
  stats.rendezvous++;
  f->mask = mask; f->op = op;
  if (!(mask >> f->ctx.lane & 1)) die("warp operation whose mask does not name the calling lane");
  Group *g = nullptr;
  for (int i = 0; i < w.used && !g; i++) if (w.g[i]->mask == mask) g = w.g[i];
  if (!g) {
    if (w.used == MAXMASK) die("too many distinct warp masks");
    if (w.used == w.have) { TSAN_QUIET_BEGIN(); w.g[w.have++] = (Group *)malloc(sizeof(Group)); TSAN_QUIET_END(); }
    g = w.g[w.used++]; g->mask = mask; g->need = mask & w.exist; g->arrived = g->gen = 0;
  }
  if (!g->arrived) g->op = op; else if (g->op != op) die("lanes of one warp met in different warp operations");
  unsigned buf = g->gen & 1;
  g->ex[buf][f->ctx.lane] = mine;
  rel(&g->tag[buf]);
  g->arrived |= 1u << f->ctx.lane;
  if (g->arrived == g->need) {   /* last one in: wake the others, keep running */
    g->arrived = 0; g->gen++;
    Fiber *b = &fibers[f->ctx.warp * 32];
    for (unsigned i = 0; i < 32; i++) if ((g->need >> i & 1) && i != f->ctx.lane) b[i].state = READY;
  } else { f->state = AT_WARP; yield(); }
  acq(&g->tag[buf]);
  return g->ex[buf];
}
/* Exact size (ASan's redzone starts at its end), filled with NaN so that a read before a write shows. */
static void *shared_alloc(size_t n) {
  void *p;
  TSAN_QUIET_BEGIN();
  if (posix_memalign(&p, 128, n)) abort();
  memset(p, 0xff, n);
  TSAN_QUIET_END();
#ifdef SIMT_MSAN
  __msan_poison(p, n);
#endif
  return p;
}
static void shared_free(void *p) { TSAN_QUIET_BEGIN(); free(p); TSAN_QUIET_END(); }
void *shared_static(const void *tag, size_t n) {
  for (auto &v : shared_vars) if (v.tag == tag) return v.p;
  void *p = shared_alloc(n);
  static_bytes += n;
  if (static_bytes > 48u * 1024) die("more than 48 KiB of static shared memory");
  shared_vars.push_back({tag, p, n});
  return p;
}
/* cp.async is performed as late as allowed, so that a missing wait shows as stale data. */
void async_copy16(void *d, const void *s) {
  if (((uintptr_t)d | (uintptr_t)s) & 15) die("cp.async: address not 16-byte aligned");
  self->async.push_back({d, s, self->async_group});
}
void async_commit() { self->async_group++; }
void async_wait(int pending) {
  int upto = self->async_group - pending; size_t k = 0;
  for (auto &c : self->async) {
    if (c.group >= upto) { self->async[k++] = c; continue; }
#ifdef SIMT_TSAN
    __tsan_read16((void *)c.src); __tsan_write16(c.dst);
#endif
    memcpy(c.dst, c.src, 16);
  }
  self->async.resize(k);
}
static void run_block(std::vector<unsigned> &order) {
  unsigned nw = (nthreads + 31) / 32;
  static_bytes = 0; arrived_block = 0; block_gen = 0; pred_sum[0] = pred_sum[1] = 0;
  for (unsigned w = 0; w < nw; w++) { WarpRt &r = warps[w]; r.used = 0; r.exist = w + 1 < nw || nthreads % 32 == 0 ? 0xffffffffu : (1u << nthreads % 32) - 1; }
  for (unsigned i = 0; i < nthreads; i++) {
    Fiber &f = fibers[i];
    f.ctx.tid = uint3{i % block_dim.x, i / block_dim.x % block_dim.y, i / (block_dim.x * block_dim.y)};
    f.ctx.lane = i % 32; f.ctx.warp = i / 32; start(f);
    order[i] = order_mode == 1 ? nthreads - 1 - i : i;
  }
  for (unsigned alive = nthreads; alive;) {
    if (order_mode == 2) for (unsigned i = nthreads - 1; i > 0; i--) std::swap(order[i], order[rnd() % (i + 1)]);
    bool progress = false;
    for (unsigned i = 0; i < nthreads; i++) {
      Fiber &f = fibers[order[i]];
      if (f.state == READY) { progress = true; swap_to(&host, &f, false); if (f.state == DONE) alive--; }
    }
    if (alive && arrived_block == alive) {
      if (alive != nthreads) die("__syncthreads after some threads of the block have exited");
      stats.barriers++; arrived_block = 0; block_gen++; pred_sum[block_gen & 1] = 0;
      for (unsigned i = 0; i < nthreads; i++) if (fibers[i].state == AT_BLOCK) fibers[i].state = READY;
    } else if (!progress && alive) die("deadlock (divergent barrier or warp operation)");
  }
  for (auto &v : shared_vars) shared_free(v.p);
  shared_vars.clear();
#ifdef SIMT_TSAN
  for (unsigned i = 0; i < nthreads; i++) { __tsan_destroy_fiber(fibers[i].ts); shared_free(fibers[i].stack); }
#endif
  stats.blocks++;
}
void launch_raw(const char *name, dim3 g, dim3 b, size_t smem, void (*fn)(void *), void *arg) {
  kname = name; grid_dim = g; block_dim = b; nthreads = b.x * b.y * b.z; kfn = fn; karg = arg;
  if (!nthreads || nthreads > 1024 || b.z > 64) die("bad block size");
  if (!g.x || !g.y || !g.z || g.y > 65535 || g.z > 65535) die("bad grid size");
  if (smem > 227u * 1024) die("more than 227 KiB of dynamic shared memory");
  if (fibers.size() < nthreads) fibers.resize(nthreads);
  if (warps.size() < (nthreads + 31) / 32) warps.resize((nthreads + 31) / 32);
#ifdef SIMT_TSAN
  host.ts = __tsan_get_current_fiber();
#endif
  rel(&tag_launch);
  std::vector<unsigned> order(nthreads);
  uint64_t nb = (uint64_t)g.x * g.y * g.z;
  for (uint64_t k = 0; k < nb; k++) {
    uint64_t i = order_mode == 1 ? nb - 1 - k : order_mode == 2 ? (k * 2654435761u + 7) % nb : k;
    block_idx = uint3{(unsigned)(i % g.x), (unsigned)(i / g.x % g.y), (unsigned)(i / ((uint64_t)g.x * g.y))};
    dyn_smem = smem ? shared_alloc(smem) : nullptr;
    run_block(order);
    shared_free(dyn_smem);
  }
  acq(&tag_end);
  cur = nullptr; self = &host;
}
}  // namespace simt

extern "C" void simt_order(int mode, unsigned seed) { simt::set_order(mode, seed); }
