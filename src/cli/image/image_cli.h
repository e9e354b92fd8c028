/* What the verbs of ringwall-image share. It is a program of its own, which `ringwall image` starts. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "base/json.h"
#include "image/content.h"
#include "image/limits.h"
#include "image/store.h"
#include "opt/options.h"

enum { EXIT_IMAGE_FAILED = 125 };

struct cli {
	const char *store;
	const char *log_format, *log_level;
	bool debug, help, version;
	bool single_id; /* in a user namespace that has our own ID only */
};

extern const struct program image_program;

/* Opens the store with its lock taken shared (to add) or exclusive (to remove). Without root, in a user namespace. */
int image_cli_open(struct cli *cli, bool exclusive, struct content *ret, struct error *err);
/*
 * Gives up all rights but those on the store, on READS (NULL-terminated, or NULL) and on WRITE (or NULL), and for the
 * network where asked for. Before anything is read that came from elsewhere.
 */
int image_cli_lock_down(const struct content *content, const char *const *reads, const char *write, bool network,
			bool devices, struct error *err);

/* The limits on hostile layers, for the verbs that unpack. */
struct limit_options {
	struct option_number unpacked, entries, ratio, layers;
	bool allow_devices;
};
#define LIMIT_OPTIONS(o)                                                                                               \
	{0, "max-unpacked-size", OPTION_SIZE, &(o).unpacked, "BYTES", "largest layer, unpacked", .fallback = "64g"},   \
	    {0, "max-entries", OPTION_NUMBER, &(o).entries, "N", "most entries of a layer", .fallback = "4000000"},    \
	    {0,                                                                                                        \
	     "max-ratio",                                                                                              \
	     OPTION_NUMBER,                                                                                            \
	     &(o).ratio,                                                                                               \
	     "N",                                                                                                      \
	     "most bytes that a packed byte may unpack to, past the first 128 MiB",                                    \
	     .fallback = "250"},                                                                                       \
	    {0, "max-layers", OPTION_NUMBER, &(o).layers, "N", "most layers of an image", .fallback = "200"},          \
	{                                                                                                              \
		0, "allow-devices", OPTION_FLAG, &(o).allow_devices, NULL, "make the device nodes that layers hold"    \
	}
int image_cli_limits(const struct limit_options *o, struct image_limits *ret, struct error *err);

/* The full name that TEXT means for something made here: localhost/TEXT without a registry. Owned. */
int image_cli_local_name(const char *text, char **ret, struct error *err);

/* Prints a JSON value and a newline; frees it. */
int image_cli_print_json(struct json_object *o, struct error *err);
/* "12.3 MB" (decimal, as Docker) and "3 days ago". */
void image_cli_size(uint64_t bytes, char ret[32]);
void image_cli_age(const char *rfc3339, char ret[32]);

extern const struct command image_check, image_commit, image_save, image_gc, image_import, image_inspect, image_load,
    image_ls, image_pull, image_push, image_rm, image_tag;
