/*
 * A Node addon without Node's headers: the randomness of OpenSSL in this process comes from the kernel, always.
 *
 * A parked process has its memory written down, and with it the state of every generator in it. The kernel's own is seeded anew before the process goes on
 * (attach.c); what has no state needs no seed. So OpenSSL, wherever its code stands (in Node itself or in a library beside it), is told to ask the kernel for
 * every byte, in every thread. That is also no slower: its own generator costs more than the call.
 *
 * It needs no C library and no symbols but those below; where OpenSSL's is not to be found, it does nothing and says so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int (*seed)(const void *, int);
  int (*bytes)(unsigned char *, int);
  void (*cleanup)(void);
  int (*add)(const void *, int, double);
  int (*pseudorand)(unsigned char *, int);
  int (*status)(void);
} rand_method;

extern int RAND_set_rand_method(const rand_method *method) __attribute__((weak));

typedef void *napi_env, *napi_value, *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
extern int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
extern int napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
extern int napi_get_arraybuffer_info(napi_env, napi_value, void **, size_t *);
extern int napi_get_boolean(napi_env, bool, napi_value *);
extern int napi_set_named_property(napi_env, napi_value, const char *, napi_value);

static long getrandom_call(void *bytes, unsigned long count) {
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(318L), "D"(bytes), "S"(count), "d"(0L) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long number __asm__("x8") = 278;
  register long first __asm__("x0") = (long)bytes;
  register long second __asm__("x1") = (long)count;
  register long third __asm__("x2") = 0;
  __asm__ volatile("svc 0" : "+r"(first) : "r"(number), "r"(second), "r"(third) : "memory");
  return first;
#else
#error "The number of getrandom on this architecture is not known here"
#endif
}

static int from_kernel(unsigned char *bytes, int count) {
  while (count > 0) {
    long got = getrandom_call(bytes, (unsigned long)count);
    if (got == -4) continue; /* EINTR */
    if (got <= 0) return 0;
    bytes += got;
    count -= (int)got;
  }
  return 1;
}

static int ready(void) { return 1; }
static int no_seed(const void *bytes, int count) {
  (void)bytes;
  (void)count;
  return 1;
}
static int no_entropy(const void *bytes, int count, double entropy) {
  (void)entropy;
  return no_seed(bytes, count);
}

static const rand_method kernel = {no_seed, from_kernel, NULL, no_entropy, from_kernel, ready};

/* fill(buffer: ArrayBuffer): boolean */
static napi_value fill(napi_env env, napi_callback_info info) {
  size_t arguments = 1;
  napi_value buffer = NULL, answer = NULL;
  void *bytes = NULL;
  size_t count = 0;
  bool filled = napi_get_cb_info(env, info, &arguments, &buffer, NULL, NULL) == 0 && arguments == 1 &&
                napi_get_arraybuffer_info(env, buffer, &bytes, &count) == 0 && count < INT32_MAX && from_kernel(bytes, (int)count) == 1;
  napi_get_boolean(env, filled, &answer);
  return answer;
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function = NULL, installed = NULL;
  bool is_installed = RAND_set_rand_method != NULL && RAND_set_rand_method(&kernel) == 1;
  if (napi_create_function(env, "fill", 4, fill, NULL, &function) == 0) napi_set_named_property(env, exports, "fill", function);
  if (napi_get_boolean(env, is_installed, &installed) == 0) napi_set_named_property(env, exports, "opensslAsksTheKernel", installed);
  return exports;
}
