#include "boundary/wasm/wasm.h"

#include <sched.h>
#include <string.h>

#include "wasmrun/filter.h"
#include "host/seccomp_reach.h"
#include "image/store.h"

/* The wall that the engine's process is put behind; it keeps the box's record, too. */
static const struct boundary_ops *jail(void)
{
	return boundary_find("container", NULL);
}

static void wasm_probe(struct probe *ret)
{
	_cleanup_free_ char *engine = NULL;
	struct error err = ERROR_INIT;

	jail()->probe(ret);
	if (!ret->usable || image_helper_path("ringwall-wasm", &engine, &err) == 0)
		return;
	*ret = (struct probe){ .usable = false };
	snprintf(ret->reason, sizeof(ret->reason), "%.200s", err.message);
	snprintf(ret->mend, sizeof(ret->mend), "make");
}

/* Without these the engine's process would share with the host what a module must not even have an engine near to. */
static int plan_namespaces(const struct oci_spec *spec, struct plan *ret)
{
	static const struct {
		int type;
		const char *name;
	} needed[] = { { CLONE_NEWNS, "mount" }, { CLONE_NEWPID, "pid" } };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(needed) && r == 0; i++)
		if (!oci_spec_namespace(spec, needed[i].type))
			r = plan_refused(ret, "linux.namespaces", "the engine is jailed: it needs a %s namespace; add it", needed[i].name);
	return r;
}

static int plan_calls(struct plan *ret)
{
	_cleanup_free_ struct seccomp_program *program = NULL;
	struct seccomp_reach reach;

	if (wasm_filter_compile(&program, NULL) < 0)
		return -ENOMEM;
	seccomp_reach(program, &reach);
	return plan_enforced(ret, "system calls", "none but through WASI; the engine's seccomp: of %u, %u pass, %u for some arguments",
			     reach.total, reach.allowed, reach.conditional);
}

static int wasm_plan(const struct oci_spec *spec, const struct create_options *options, struct plan *ret, struct error *err)
{
	int r = jail()->plan(spec, options, ret, err);

	if (r == 0)
		r = plan_namespaces(spec, ret);
	if (r == 0)
		r = plan_enforced(ret, "instructions", "the module is validated and compiled; it reaches its own memory only");
	if (r == 0)
		r = plan_calls(ret);
	if (r == 0)
		r = plan_enforced(ret, "files", "%s", oci_spec_annotation(spec, WASM_ANNOTATION_DIRS) ?
							      "the directories of annotation " WASM_ANNOTATION_DIRS ", beneath which openat2 keeps every path" :
							      "the box's root, beneath which openat2 keeps every path");
	if (r == 0 && spec->process && spec->process->has_capabilities)
		r = plan_enforced(ret, "process.capabilities", "a module has no use for them: the engine runs without any");
	return r < 0 ? error_oom(err) : 0;
}

static int wasm_create(struct box *box, const struct oci_spec *spec, const struct create_options *options, struct started *ret,
		       struct error *err)
{
	_cleanup_(wasm_spec_free) struct wasm_spec derived = { 0 };
	int r = wasm_spec_derive(spec, &derived, err);

	return r < 0 ? r : jail()->create(box, &derived.spec, options, ret, err);
}

static int wasm_start(struct box *box, struct error *err)
{
	return jail()->start(box, err);
}

static int wasm_signal(struct box *box, int signal, bool all, struct error *err)
{
	return jail()->signal(box, signal, all, err);
}

static int wasm_pause(struct box *box, struct error *err)
{
	return jail()->pause(box, err);
}

static int wasm_resume(struct box *box, struct error *err)
{
	return jail()->resume(box, err);
}

static bool wasm_paused(const struct box *box)
{
	return jail()->paused(box);
}

static int wasm_update(struct box *box, const struct cgroup_resources *resources, struct error *err)
{
	return jail()->update(box, resources, err);
}

static int wasm_stats(struct box *box, struct json_object **ret, struct error *err)
{
	return jail()->stats(box, ret, err);
}

static int wasm_pids(struct box *box, pid_t **ret, size_t *ret_n, struct error *err)
{
	return jail()->pids(box, ret, ret_n, err);
}

static int wasm_destroy(struct box *box, struct error *err)
{
	return jail()->destroy(box, err);
}

const struct boundary_ops wasm_boundary = {
	.name = "wasm",
	.summary = "a WebAssembly module in our own engine; WASI instead of system calls, the engine in a container-grade jail",
	.strength = BOUNDARY_STRENGTH_WASM,
	.runs_modules = true,
	.caps = BOUNDARY_PAUSE | BOUNDARY_UPDATE | BOUNDARY_STATS | BOUNDARY_TERMINAL | BOUNDARY_NETWORK | BOUNDARY_ROOTLESS,
	.probe = wasm_probe,
	.plan = wasm_plan,
	.create = wasm_create,
	.start = wasm_start,
	.signal = wasm_signal,
	.pause = wasm_pause,
	.resume = wasm_resume,
	.paused = wasm_paused,
	.update = wasm_update,
	.stats = wasm_stats,
	.pids = wasm_pids,
	.destroy = wasm_destroy,
};
