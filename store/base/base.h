/*
 * base.h: the few words every file uses. Nothing here knows that it is inside a cache.
 */
#ifndef LARDER_BASE_H
#define LARDER_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define CACHE_LINE_BYTES 64
#define OS_PAGE_BYTES 4096

#define ALIGN_UP(x, to) (((x) + ((to) - 1)) & ~(__typeof__(x))((to) - 1))
#define ALIGN_DOWN(x, to) ((x) & ~(__typeof__(x))((to) - 1))
#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* Fetches a line to write to. The compiler's builtin fetches it to read unless the target is told to
 * have the instruction; processors of this kind without it take it for a no-op. */
static inline void prefetch_to_write(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* Two loads each where the length allows, since most keys are short and a call costs more. */
static inline bool bytes_equal(const char *a, const char *b, size_t n)
{
	uint64_t a0, a1, b0, b1;

	if (n > 16 || n < 8)
		return memcmp(a, b, n) == 0;
	memcpy(&a0, a, 8);
	memcpy(&b0, b, 8);
	memcpy(&a1, a + n - 8, 8);
	memcpy(&b1, b + n - 8, 8);
	return ((a0 ^ b0) | (a1 ^ b1)) == 0;
}

/* assert() stays on in release builds and must be cheap. invariant() is compiled in by
 * --enable-debug=full and may walk structures. */
#ifdef LARDER_INVARIANTS
#define invariant(x) assert(x)
#else
#define invariant(x) ((void)0)
#endif

/* ThreadSanitizer wants every shared byte read as an atomic; vectors are used without it. */
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZED 1
#endif
#endif

/* Failures of the environment. Expected outcomes (a miss, not stored) have enums of their own. */
enum status {
	STATUS_OK = 0,
	STATUS_NO_MEMORY, /* the budget is full and nothing could be evicted */
	STATUS_TOO_LARGE, /* over a configured limit */
	STATUS_SYSTEM,    /* a system call failed; errno says why */
};

#endif
