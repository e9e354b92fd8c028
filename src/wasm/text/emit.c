#include "wasm/text/parser.h"

void wat_emit_u32(struct strbuf *b, uint64_t v)
{
	do {
		strbuf_addc(b, (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0)));
		v >>= 7;
	} while (v);
}

void wat_emit_s64(struct strbuf *b, int64_t v)
{
	for (;;) {
		uint8_t byte = v & 0x7f;

		v >>= 7;
		if ((v == 0 && !(byte & 0x40)) || (v == -1 && byte & 0x40)) {
			strbuf_addc(b, (char)byte);
			return;
		}
		strbuf_addc(b, (char)(byte | 0x80));
	}
}

void wat_emit_bytes(struct strbuf *b, const struct strbuf *bytes)
{
	wat_emit_u32(b, bytes->len);
	strbuf_add(b, bytes->data, bytes->len);
	if (strbuf_failed(bytes))
		b->failed = true;
}
