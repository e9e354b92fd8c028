/* `doctor`: which walls are usable here, why not, and the command that mends it. */
#include <string.h>

#include "cli/cli.h"
#include "host/survey.h"

enum { FACTS_MAX = 64 };

static bool as_json;
static const struct option options[] = {
	{ 0, "json", OPTION_FLAG, &as_json, NULL, "print JSON" },
	{ 0 },
};

static struct json_object *wall_json(const struct boundary_ops *b, const struct probe *probe)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(b->name));
	json_object_object_add(o, "summary", json_object_new_string(b->summary));
	json_object_object_add(o, "strength", json_object_new_int(b->strength));
	json_object_object_add(o, "usable", json_object_new_boolean(probe->usable));
	json_object_object_add(o, "reason", json_object_new_string(probe->reason));
	json_object_object_add(o, "mend", json_object_new_string(probe->mend));
	return o;
}

static struct json_object *fact_json(const struct host_fact *f)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(f->name));
	json_object_object_add(o, "ok", json_object_new_boolean(f->ok));
	json_object_object_add(o, "detail", json_object_new_string(f->detail));
	json_object_object_add(o, "mend", json_object_new_string(f->mend));
	return o;
}

static int print_json(const struct probe *probes, const struct host_fact *facts, size_t n_facts, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	struct json_object *walls = json_object_new_array(), *host = json_object_new_array();

	for (size_t i = 0; boundaries[i]; i++)
		json_object_array_add(walls, wall_json(boundaries[i], &probes[i]));
	for (size_t i = 0; i < n_facts; i++)
		json_object_array_add(host, fact_json(&facts[i]));
	json_object_object_add(o, "walls", walls);
	json_object_object_add(o, "host", host);
	return cli_print_json(o, true, err);
}

static void print_mend(const char *mend)
{
	if (*mend)
		printf("%21s mend it with: %s\n", "", mend);
}

static void print_text(const struct probe *probes, const struct host_fact *facts, size_t n_facts)
{
	puts("WALLS");
	for (size_t i = 0; boundaries[i]; i++) {
		printf("  %-18s %s; %s%s%s\n", boundaries[i]->name, probes[i].usable ? "usable" : "NOT usable", boundaries[i]->summary,
		       probes[i].reason[0] ? ": " : "", probes[i].reason);
		print_mend(probes[i].mend);
	}
	puts("\nHOST");
	for (size_t i = 0; i < n_facts; i++) {
		printf("  %-18s %s%s\n", facts[i].name, facts[i].ok ? "" : "- ", facts[i].detail);
		print_mend(facts[i].mend);
	}
}

static int run_doctor(struct cli *cli, char **operands, struct error *err)
{
	struct host_fact facts[FACTS_MAX];
	struct probe probes[16] = { 0 };
	size_t n = host_survey(cli->criu, facts, ARRAY_SIZE(facts));
	bool any = false;
	int r = 0;

	for (size_t i = 0; boundaries[i] && i < ARRAY_SIZE(probes); i++) {
		boundaries[i]->probe(&probes[i]);
		any |= probes[i].usable;
	}
	if (as_json)
		r = print_json(probes, facts, n, err);
	else
		print_text(probes, facts, n);
	return r < 0 ? r : any ? 0 : 1;
}

const struct command cli_doctor = {
	.name = "doctor",
	.group = "This host",
	.summary = "tell which walls are usable here, why not, and how to mend it",
	.details = "The exit status is 0 when at least one wall is usable, else 1.",
	.options = options,
	.run = run_doctor,
};
