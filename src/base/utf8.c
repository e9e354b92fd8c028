#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character at P (END is after it), or 0: RFC 3629, section 4. */
static size_t character(const unsigned char *p, const unsigned char *end)
{
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t n;

	if (*p < 0x80)
		return 1;
	if (*p >= 0xc2 && *p <= 0xdf)
		n = 2;
	else if (*p >= 0xe0 && *p <= 0xef)
		n = 3;
	else if (*p >= 0xf0 && *p <= 0xf4)
		n = 4;
	else
		return 0;
	if (*p == 0xe0)
		low = 0xa0;
	else if (*p == 0xed)
		high = 0x9f;
	else if (*p == 0xf0)
		low = 0x90;
	else if (*p == 0xf4)
		high = 0x8f;
	if ((size_t)(end - p) < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

size_t utf8_valid(const char *data, size_t len)
{
	const unsigned char *start = (const unsigned char *)data, *p = start, *end = start + len;

	while (p < end) {
		uint64_t word;
		size_t n;

		if (end - p >= 8 && (memcpy(&word, p, 8), !(word & 0x8080808080808080ull))) {
			p += 8;
			continue;
		}
		n = character(p, end);
		if (!n)
			break;
		p += n;
	}
	return (size_t)(p - start);
}

static bool is_control(const unsigned char *p)
{
	return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0);
}

void utf8_neutralize(char *s)
{
	unsigned char *p = (unsigned char *)s, *end = p + strlen(s);

	while (p < end) {
		size_t n = character(p, end);

		if (n == 0 || is_control(p)) {
			n = n ? n : 1;
			memset(p, '?', n);
		}
		p += n;
	}
}
