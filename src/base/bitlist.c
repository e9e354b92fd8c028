#include "base/bitlist.h"

#include <stdint.h>
#include <string.h>

#define WORD_BITS (8 * sizeof(unsigned long))

static void skip_space(const char **s)
{
	*s += strspn(*s, " ");
}

static int number(const char **s, size_t *ret)
{
	size_t v = 0;

	if (**s < '0' || **s > '9')
		return -EINVAL;
	for (; **s >= '0' && **s <= '9'; ++*s)
		v = v > SIZE_MAX / 16 ? v : v * 10 + (size_t)(**s - '0');
	*ret = v;
	skip_space(s);
	return 0;
}

static void set_range(unsigned long *bits, size_t first, size_t last)
{
	for (size_t word = first / WORD_BITS; word <= last / WORD_BITS; word++) {
		unsigned long mask = ~0ul;

		if (word == first / WORD_BITS)
			mask &= ~0ul << (first % WORD_BITS);
		if (word == last / WORD_BITS)
			mask &= ~0ul >> (WORD_BITS - 1 - last % WORD_BITS);
		bits[word] |= mask;
	}
}

int bitlist_parse(const char *list, unsigned long *bits, size_t max, struct error *err)
{
	const char *s = list;

	memset(bits, 0, (max + WORD_BITS - 1) / WORD_BITS * sizeof(*bits));
	skip_space(&s);
	while (*s) {
		size_t first, last;

		if (number(&s, &first) < 0)
			goto invalid;
		last = first;
		if (*s == '-') {
			s++;
			skip_space(&s);
			if (number(&s, &last) < 0 || last < first)
				goto invalid;
		}
		if (last >= max)
			return error_set(err, ERANGE, "'%s': %zu is more than %zu", list, last, max - 1);
		set_range(bits, first, last);
		if (*s == ',') {
			s++;
			skip_space(&s);
		} else if (*s) {
			goto invalid;
		}
	}
	return 0;
invalid:
	return error_set(err, EINVAL, "'%s' is not a list such as 0-3,8", list);
}
