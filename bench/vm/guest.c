/*
 * The programs of bench/vm: each runs many times for about a millisecond, and its best time counts, so that a run that
 * the host interrupted does not.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}
static volatile uint64_t sink;
static void b_int(void)
{
	uint64_t h = 1469598103934665603ull;
	for (long i = 0; i < 300000; i++) {
		h ^= i & 255;
		h *= 1099511628211ull;
		h ^= h >> 29;
	}
	sink = h;
}
static void b_sieve(void)
{
	static char s[1 << 17];
	for (int r = 0; r < 6; r++) {
		memset(s, 1, sizeof s);
		for (int i = 2; i < 360; i++)
			if (s[i])
				for (int j = i * i; j < (1 << 17); j += i)
					s[j] = 0;
	}
	sink = s[7919];
}
static void b_chase(void)
{
	enum { N = 1 << 16 };
	static uint32_t p[N];
	for (int i = 0; i < N; i++)
		p[i] = (i * 40503u + 12345) & (N - 1);
	uint32_t x = 0;
	for (long i = 0; i < 200000; i++)
		x = p[x] ^ (x & 1);
	sink = x;
}
static void b_mat(void)
{
	static double a[128][128], b[128][128], c[128][128];
	for (int i = 0; i < 128; i++)
		for (int j = 0; j < 128; j++)
			a[i][j] = i + j, b[i][j] = i - j;
	for (int r = 0; r < 1; r++)
		for (int i = 0; i < 128; i++)
			for (int j = 0; j < 128; j++) {
				double s = 0;
				for (int k = 0; k < 128; k++)
					s += a[i][k] * b[k][j];
				c[i][j] += s;
			}
	sink = c[5][7];
}
static void b_memcpy(void)
{
	static char a[1 << 20], b[1 << 20];
	for (int i = 0; i < 6; i++) {
		memcpy(a, b, sizeof a);
		b[i] = a[i + 1];
	}
	sink = a[5];
}
__attribute__((noinline)) static int fib(int n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
static void b_call(void)
{
	sink = fib(22);
}
typedef int (*fn)(int);
static int f0(int x)
{
	return x + 1;
}
static int f1(int x)
{
	return x * 3;
}
static int f2(int x)
{
	return x ^ 5;
}
static int f3(int x)
{
	return x - 7;
}
static void b_ind(void)
{
	static fn t[4] = {f0, f1, f2, f3};
	int x = 1;
	unsigned r = 12345;
	for (long i = 0; i < 100000; i++) {
		r = r * 1103515245 + 12345;
		x = t[(r >> 16) & 3](x);
	}
	sink = x;
}
static void b_vm(void)
{
	uint8_t prog[] = {0, 1, 2, 0, 3, 1, 4};
	long acc = 1, b = 2;
	long n = 0;
	for (long i = 0; i < 30000; i++)
		for (int pc = 0; pc < 7; pc++) {
			switch (prog[pc]) {
			case 0:
				acc += b;
				break;
			case 1:
				b ^= acc;
				break;
			case 2:
				acc *= 3;
				break;
			case 3:
				b += i;
				break;
			case 4:
				n += acc & 1;
				break;
			case 5:
				acc = 0;
				break;
			case 6:
				b = 7;
				break;
			}
		}
	sink = n;
}
static void b_getppid(void)
{
	for (int i = 0; i < 2000; i++)
		sink = syscall(SYS_getppid);
}
static void b_fault(void)
{
	for (int r = 0; r < 1; r++) {
		char *p = mmap(0, 4096 * 200, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < 200; i++)
			p[i * 4096] = 1;
		munmap(p, 4096 * 200);
	}
}
static void b_fork(void)
{
	for (int i = 0; i < 4; i++) {
		int p = fork();
		if (!p)
			_exit(0);
		waitpid(p, 0, 0);
	}
}
static void b_pipe(void)
{
	int a[2], b[2];
	pipe(a);
	pipe(b);
	char c = 0;
	int p = fork();
	if (!p) {
		for (int i = 0; i < 200; i++) {
			read(a[0], &c, 1);
			write(b[1], &c, 1);
		}
		_exit(0);
	}
	for (int i = 0; i < 200; i++) {
		write(a[1], &c, 1);
		read(b[0], &c, 1);
	}
	waitpid(p, 0, 0);
}
static void b_sort(void)
{
	static int a[1 << 12];
	unsigned r = 1;
	for (int i = 0; i < 1 << 12; i++) {
		r = r * 1664525 + 1013904223;
		a[i] = r >> 8;
	}
	int cmp(const void *x, const void *y)
	{
		return *(int *)x < *(int *)y ? -1 : *(int *)x > *(int *)y;
	}
	qsort(a, 1 << 12, 4, cmp);
	sink = a[77];
}
int main(int c, char **v)
{
	struct {
		const char *n;
		void (*f)(void);
		double per;
	} t[] = {{"int", b_int, 1},	  {"sieve", b_sieve, 1},	{"chase", b_chase, 1},	 {"matrix", b_mat, 1},
		 {"memcpy", b_memcpy, 1}, {"call", b_call, 1},		{"indirect", b_ind, 1},	 {"bytecode", b_vm, 1},
		 {"sort", b_sort, 1},	  {"getppid", b_getppid, 2000}, {"fault", b_fault, 200}, {"fork", b_fork, 4},
		 {"pipe", b_pipe, 200}};
	for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
		if (c > 1 && strcmp(v[1], t[i].n))
			continue;
		double best = 1e9;
		for (int k = 0; k < (t[i].per == 1 ? 60 : 12); k++) {
			double s = now();
			t[i].f();
			double d = now() - s;
			if (d < best)
				best = d;
		}
		if (t[i].per == 1)
			printf("BENCH %-9s %9.3f ms\n", t[i].n, best * 1e3);
		else
			printf("BENCH %-9s %9.3f us\n", t[i].n, best / t[i].per * 1e6);
		fflush(stdout);
	}
	return 0;
}
