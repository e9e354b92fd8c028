/* Text to numbers, strictly: the whole string, no sign where none makes sense, no overflow. 0 or -EINVAL / -ERANGE. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int parse_u64(const char *s, uint64_t *ret);
int parse_u32(const char *s, uint32_t *ret);
int parse_i64(const char *s, int64_t *ret);
int parse_bool(const char *s, bool *ret);
/* Bytes, with an optional binary suffix b, k, m, g, t (also K, KiB, KB ...): "512M" is 512 << 20. */
int parse_size(const char *s, uint64_t *ret);
/* Octal file mode, 0 to 07777. */
int parse_mode(const char *s, uint32_t *ret);
