/* UTF-8, RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF. */
#pragma once

#include <stddef.h>

/* The number of bytes at the start of DATA that are whole, valid characters: LEN when all are. */
size_t utf8_valid(const char *data, size_t len);
