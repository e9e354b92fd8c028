/* `plan`: what would be enforced and by what, without making anything. */
#include <string.h>
#include <unistd.h>

#include "cli/bundle.h"
#include "cli/run_image.h"
#include "cli/stage.h"

static bool as_json;
static struct option options[128]; /* those of `run`, and --json: filled in by cli_plan_options() */

static int print_json(const struct plan *plan, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	struct json_object *items = json_object_new_array();

	for (size_t i = 0; i < plan->n_items; i++) {
		struct json_object *item = json_object_new_object();

		json_object_object_add(item, "what", json_object_new_string(plan->items[i].what));
		json_object_object_add(item, "how", json_object_new_string(plan->items[i].how));
		json_object_object_add(item, "refused", json_object_new_boolean(plan->items[i].refused));
		json_object_array_add(items, item);
	}
	json_object_object_add(o, "isolation", json_object_new_string(plan->boundary->name));
	json_object_object_add(o, "refused", json_object_new_uint64(plan->n_refused));
	json_object_object_add(o, "items", items);
	return cli_print_json(o, true, err);
}

static void print_table(const struct plan *plan)
{
	size_t width = 0;

	for (size_t i = 0; i < plan->n_items; i++)
		width = MAX(width, MIN(strlen(plan->items[i].what), (size_t)48));
	printf("isolation: %s (%s)\n", plan->boundary->name, plan->boundary->summary);
	for (size_t i = 0; i < plan->n_items; i++)
		printf("%s %-*s  %s\n", plan->items[i].refused ? "REFUSED" : "       ", (int)width, plan->items[i].what,
		       plan->items[i].how);
	if (plan->n_refused)
		printf("%zu of %zu cannot be honoured: such a box is not made\n", plan->n_refused, plan->n_items);
}

static int make_plan(struct cli *cli, const struct oci_spec *spec, struct plan *plan, struct error *err)
{
	struct create_options create = CREATE_OPTIONS_INIT;

	cli_create_options(cli, &create);
	plan->boundary = boundary_find(cli->isolation ? cli->isolation : "container", err);
	plan->detailed = true;
	return plan->boundary ? plan->boundary->plan(spec, &create, plan, err) : -EINVAL;
}

static int run_plan(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_bundle_ struct loaded_bundle bundle = { 0 };
	_cleanup_oci_spec_ struct oci_spec *made = NULL;
	_cleanup_(plan_free) struct plan plan = { 0 };
	int r = 0;

	if (operands[0])
		r = run_image_config(cli, &run_opt, operands[0], operands + 1, &made, err);
	if (operands[0] && r == 0 && made->linux_.n_namespaces) /* where such a box is made, without privilege */
		r = stage_enter_user_namespace(err);
	if (!operands[0])
		r = bundle_load(run_opt.bundle.bundle ? run_opt.bundle.bundle : ".", run_opt.bundle.config, &bundle, err);
	if (r == 0)
		r = make_plan(cli, made ? made : bundle.spec, &plan, err);
	if (r < 0)
		return r;
	if (as_json)
		r = print_json(&plan, err);
	else
		print_table(&plan);
	return r < 0 ? r : plan.n_refused ? 1 : 0;
}

void cli_plan_options(void)
{
	size_t n = 0;

	options[n++] = (struct option){ 0, "json", OPTION_FLAG, &as_json, NULL, "print JSON" };
	for (const struct option *o = run_option_table; (o->name || o->letter) && n + 1 < ARRAY_SIZE(options); o++)
		options[n++] = *o;
}

const struct command cli_plan = {
	.name = "plan",
	.group = "This host",
	.operands = "[IMAGE [COMMAND]]",
	.summary = "show what would be enforced and by what, and what the wall cannot honour",
	.details = "Takes the options of run; without IMAGE, the bundle in the current directory or --bundle. Nothing is made. The "
		   "exit status is 1 when something is refused.",
	.options = options,
	.flags = COMMAND_STOPS_AT_OPERAND,
	.max_operands = -1,
	.run = run_plan,
};
