#include "boundary/boundary.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "boundary/container/container.h"
#include "boundary/process/process.h"
#include "boundary/wasm/wasm.h"
#include "oci/hooks.h"

const struct boundary_ops *const boundaries[] = {
	&process_boundary,
	&container_boundary,
	&wasm_boundary,
	NULL,
};

const struct boundary_ops *boundary_find(const char *name, struct error *err)
{
	_cleanup_strbuf_ struct strbuf known = STRBUF_INIT;

	for (size_t i = 0; boundaries[i]; i++) {
		if (strcmp(boundaries[i]->name, name) == 0)
			return boundaries[i];
		strbuf_addf(&known, "%s%s", i ? ", " : "", boundaries[i]->name);
	}
	error_set(err, EINVAL, "unknown isolation '%s'; this program has: %s", name, strbuf_str(&known));
	return NULL;
}

/* ---- plans ---- */

static int plan_add(struct plan *plan, bool refused, const char *what, const char *how, va_list ap)
{
	struct plan_item *v = reallocarray(plan->items, plan->n_items + 1, sizeof(*v));
	struct plan_item item = { .refused = refused };

	if (!v)
		return -ENOMEM;
	plan->items = v;
	item.what = strdup(what);
	if (!item.what)
		return -ENOMEM;
	if (vasprintf(&item.how, how, ap) < 0) {
		free(item.what);
		return -ENOMEM;
	}
	v[plan->n_items++] = item;
	plan->n_refused += refused;
	return 0;
}

int plan_enforced(struct plan *plan, const char *what, const char *how, ...)
{
	va_list ap;
	int r;

	if (!plan->detailed)
		return 0;
	va_start(ap, how);
	r = plan_add(plan, false, what, how, ap);
	va_end(ap);
	return r;
}

int plan_refused(struct plan *plan, const char *what, const char *how, ...)
{
	va_list ap;
	int r;

	va_start(ap, how);
	r = plan_add(plan, true, what, how, ap);
	va_end(ap);
	return r;
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_items; i++) {
		free(plan->items[i].what);
		free(plan->items[i].how);
	}
	free(plan->items);
	*plan = (struct plan){ .boundary = plan->boundary, .detailed = plan->detailed };
}

int plan_check(const struct plan *plan, struct error *err)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	if (plan->n_refused == 0)
		return 0;
	for (size_t i = 0; i < plan->n_items; i++)
		if (plan->items[i].refused)
			strbuf_addf(&b, "%s%s (%s)", b.len ? ", " : "", plan->items[i].what, plan->items[i].how);
	return error_set(err, EOPNOTSUPP, "the %s boundary cannot honour %s", plan->boundary->name, strbuf_str(&b));
}

void started_close(struct started *s)
{
	s->pidfd = safe_close(s->pidfd);
	s->terminal = safe_close(s->terminal);
}

/* ---- making a box ---- */

static int record_annotations(struct box *box, const struct oci_spec *spec, struct error *err)
{
	if (spec->n_annotations == 0)
		return 0;
	box->annotations = json_object_new_object();
	if (!box->annotations)
		return error_oom(err);
	for (size_t i = 0; i < spec->n_annotations; i++) {
		struct json_object *v = json_object_new_string(spec->annotations[i].value);

		if (!v || json_object_object_add(box->annotations, spec->annotations[i].key, v) < 0)
			return error_oom(err);
	}
	return 0;
}

static int record_identity(struct box *box, const struct boundary_ops *boundary, const struct bundle *bundle, struct error *err)
{
	const char *root = bundle->spec->has_root && bundle->spec->root.path ? bundle->spec->root.path : "rootfs";
	int n;

	box->boundary = strdup(boundary->name);
	box->bundle = strdup(bundle->path);
	n = *root == '/' ? asprintf(&box->rootfs, "%s", root) : asprintf(&box->rootfs, "%s/%s", bundle->path, root);
	if (n < 0)
		box->rootfs = NULL;
	if (!box->boundary || !box->bundle || !box->rootfs)
		return error_oom(err);
	box->has_process = bundle->spec->process;
	box->has_poststart = bundle->spec->hooks.poststart.n;
	box->has_poststop = bundle->spec->hooks.poststop.n;
	return record_annotations(box, bundle->spec, err);
}

static int write_pid_file(const char *path, pid_t pid, struct error *err)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", (int)pid);

	return path ? file_replace_at(AT_FDCWD, path, text, (size_t)n, 0644, err) : 0;
}

static int check_plan(const struct boundary_ops *boundary, const struct oci_spec *spec, const struct create_options *options,
		      struct error *err)
{
	_cleanup_(plan_free) struct plan plan = { .boundary = boundary };
	int r = boundary->plan(spec, options, &plan, err);

	return r < 0 ? r : plan_check(&plan, err);
}

/* Ends a box whose making failed; what cannot be undone is told, the first error stays. */
static void undo(const struct boundary_ops *boundary, struct box *box)
{
	struct error again = ERROR_INIT;

	if (boundary->destroy(box, &again) < 0)
		log_warn("cannot undo the creation of container '%s': %s", box->id, again.message);
	else if (box_remove(box, &again) < 0)
		log_warn("%s", again.message);
}

static int hook_state(const struct box *box, enum box_status status, struct json_object **ret, const char **ret_text,
		      struct error *err)
{
	int r = box_state_json(box, status, ret, err);

	if (r < 0)
		return r;
	*ret_text = json_object_to_json_string_ext(*ret, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	return *ret_text ? 0 : error_oom(err);
}

/* Their failure changes nothing: OCI runtime-spec, runtime, "Lifecycle", step 13. */
static void run_poststop(const struct box *box, const struct oci_hooks *hooks)
{
	_cleanup_json_ struct json_object *state = NULL;
	struct error err = ERROR_INIT;
	const char *text;

	if (hooks->n == 0)
		return;
	if (hook_state(box, BOX_STOPPED, &state, &text, &err) < 0)
		log_warn("poststop hooks: %s", err.message);
	else
		oci_hooks_run_all(hooks, "poststop", text);
}

/* Their failure stops the box: step 9, since version 1.2.1 of the specification. */
static int run_poststart(const struct boundary_ops *boundary, struct box *box, struct error *err)
{
	_cleanup_json_ struct json_object *state = NULL;
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	const char *text;
	int r;

	if (!box->has_poststart)
		return 0;
	r = box_config(box, &spec, err);
	if (r == 0)
		r = hook_state(box, BOX_RUNNING, &state, &text, err);
	if (r == 0)
		r = oci_hooks_run(&spec->hooks.poststart, "poststart", text, err);
	if (r < 0) {
		struct error why = ERROR_INIT;

		if (boundary->signal(box, SIGKILL, true, &why) < 0 && why.code != ESRCH)
			log_warn("cannot stop container '%s' after its poststart hook failed: %s", box->id, why.message);
	}
	return r;
}

typedef int (*maker)(const struct boundary_ops *boundary, struct box *box, const struct oci_spec *spec,
		     const struct create_options *options, const void *more, struct started *ret, struct error *err);

static int make_box(const struct boundary_ops *boundary, const char *root, const char *id, const struct bundle *bundle,
		    const struct create_options *options, maker make, const void *more, struct box **ret_box,
		    struct started *ret, struct error *err)
{
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_box_ struct box *box = NULL;
	int r;

	r = check_plan(boundary, bundle->spec, options, err);
	if (r < 0)
		return r;
	r = box_new(root, id, bundle->config, bundle->config_len, &box, err);
	if (r < 0)
		return r;
	r = record_identity(box, boundary, bundle, err);
	if (r == 0 && !boundary->recover)
		r = box_save(box, err);
	if (r < 0) {
		box_remove(box, NULL);
		return r;
	}
	r = make(boundary, box, bundle->spec, options, more, &started, err);
	if (r == 0)
		r = write_pid_file(options->pid_file, started.pid, err);
	if (r == 0) {
		box_unlock(box); /* the hooks may use our verbs */
		if (options->run)
			r = run_poststart(boundary, box, err);
	}
	if (r < 0) {
		undo(boundary, box);
		/* "continue the lifecycle at" the destruction, OCI runtime-spec, runtime, "Lifecycle", steps 3 to 9 */
		run_poststop(box, &bundle->spec->hooks.poststop);
		return r;
	}
	*ret = started;
	started = STARTED_INIT;
	*ret_box = take_ptr(box);
	return 0;
}

static int make_by_create(const struct boundary_ops *boundary, struct box *box, const struct oci_spec *spec,
			  const struct create_options *options, const void *more, struct started *ret, struct error *err)
{
	return boundary->create(box, spec, options, ret, err);
}

int boundary_create(const struct boundary_ops *boundary, const char *root, const char *id, const struct bundle *bundle,
		    const struct create_options *options, struct box **ret_box, struct started *ret, struct error *err)
{
	return make_box(boundary, root, id, bundle, options, make_by_create, NULL, ret_box, ret, err);
}

static int make_by_restore(const struct boundary_ops *boundary, struct box *box, const struct oci_spec *spec,
			   const struct create_options *options, const void *more, struct started *ret, struct error *err)
{
	return boundary->restore(box, spec, options, more, ret, err);
}

/* ---- verbs on a box ---- */

static int unsupported(const struct boundary_ops *boundary, const char *verb, struct error *err)
{
	return error_set(err, ENOTSUP, "the %s boundary cannot %s", boundary->name, verb);
}

int boundary_restore(const struct boundary_ops *boundary, const char *root, const char *id, const struct bundle *bundle,
		     const struct create_options *options, const struct checkpoint_request *request,
		     struct box **ret_box, struct started *ret, struct error *err)
{
	if (!boundary->restore)
		return unsupported(boundary, "restore a checkpoint", err);
	return make_box(boundary, root, id, bundle, options, make_by_restore, request, ret_box, ret, err);
}

/* The wall of a loaded box; a record cut off before its first save has none. */
static int boundary_of(const struct box *box, const struct boundary_ops **ret, struct error *err)
{
	if (!box->boundary)
		return error_set(err, ENOENT,
				 "the creation of container '%s' was cut off; remove it with: ringwall delete --force %s", box->id,
				 box->id);
	*ret = boundary_find(box->boundary, err);
	return *ret ? 0 : -EINVAL;
}

enum box_status boundary_status(const struct box *box)
{
	enum box_status status = box_process_status(box);
	const struct boundary_ops *boundary;

	if (status != BOX_RUNNING && status != BOX_CREATED)
		return status;
	if (boundary_of(box, &boundary, NULL) < 0)
		return status;
	return boundary->paused && boundary->paused(box) ? BOX_PAUSED : status;
}

int boundary_start(struct box *box, struct error *err)
{
	const struct boundary_ops *boundary;
	enum box_status status;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	status = box_process_status(box);
	if (status != BOX_CREATED)
		return error_set(err, EINVAL, "cannot start container '%s': it is %s, not created", box->id,
				 box_status_string(status));
	if (!box->has_process)
		return error_set(err, EINVAL, "cannot start container '%s': its configuration has no process", box->id);
	r = boundary->start(box, err);
	if (r < 0)
		return r;
	box_unlock(box);
	return run_poststart(boundary, box, err);
}

int boundary_exec(struct box *box, const struct exec_request *request, struct started *ret, struct error *err)
{
	const struct boundary_ops *boundary;
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	enum box_status status;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->exec)
		return unsupported(boundary, "run another program in a container", err);
	status = boundary_status(box);
	if (status == BOX_STOPPED || status == BOX_CREATING)
		return error_set(err, EINVAL, "cannot exec in container '%s': it is %s", box->id, box_status_string(status));
	if (status == BOX_PAUSED && !request->ignore_paused)
		return error_set(err, EINVAL, "cannot exec in container '%s': it is paused; continue it with: ringwall resume %s",
				 box->id, box->id);
	r = box_config(box, &spec, err);
	if (r == 0)
		r = boundary->exec(box, spec, request, &started, err);
	if (r == 0)
		r = write_pid_file(request->pid_file, started.pid, err);
	if (r < 0)
		return r;
	*ret = started;
	started = STARTED_INIT;
	return 0;
}

int boundary_signal(struct box *box, int signal, bool all, struct error *err)
{
	const struct boundary_ops *boundary;
	enum box_status status;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	status = box_process_status(box);
	/* The processes of a stopped box may live on where it had no pid namespace of its own. */
	if (!all && (status == BOX_STOPPED || status == BOX_CREATING))
		return error_set(err, ESRCH, "cannot signal container '%s': it is %s", box->id, box_status_string(status));
	return boundary->signal(box, signal, all, err);
}

static int check_running(const struct box *box, const char *verb, enum box_status wanted, struct error *err)
{
	enum box_status status = boundary_status(box);

	if (status != wanted && !(wanted == BOX_RUNNING && status == BOX_CREATED))
		return error_set(err, EINVAL, "cannot %s container '%s': it is %s, not %s", verb, box->id, box_status_string(status),
				 box_status_string(wanted));
	return 0;
}

int boundary_pause(struct box *box, struct error *err)
{
	const struct boundary_ops *boundary;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->pause)
		return unsupported(boundary, "pause a container", err);
	r = check_running(box, "pause", BOX_RUNNING, err);
	return r < 0 ? r : boundary->pause(box, err);
}

int boundary_resume(struct box *box, struct error *err)
{
	const struct boundary_ops *boundary;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->resume)
		return unsupported(boundary, "resume a container", err);
	r = check_running(box, "resume", BOX_PAUSED, err);
	return r < 0 ? r : boundary->resume(box, err);
}

static int check_not_stopped(const struct box *box, const char *verb, struct error *err)
{
	enum box_status status = box_process_status(box);

	if (status == BOX_STOPPED)
		return error_set(err, EINVAL, "cannot %s container '%s': it is stopped", verb, box->id);
	return 0;
}

int boundary_update(struct box *box, const struct cgroup_resources *resources, struct error *err)
{
	const struct boundary_ops *boundary;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->update)
		return unsupported(boundary, "change the limits of a container", err);
	r = check_not_stopped(box, "update", err);
	return r < 0 ? r : boundary->update(box, resources, err);
}

int boundary_update_rdt(struct box *box, const char *l3_schema, const char *mem_bw_schema, struct error *err)
{
	const struct boundary_ops *boundary;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->update_rdt)
		return unsupported(boundary, "change the Intel RDT schemata of a container", err);
	r = check_not_stopped(box, "update", err);
	return r < 0 ? r : boundary->update_rdt(box, l3_schema, mem_bw_schema, err);
}

int boundary_stats(struct box *box, struct json_object **ret, struct error *err)
{
	const struct boundary_ops *boundary;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->stats)
		return unsupported(boundary, "tell statistics of a container", err);
	r = check_not_stopped(box, "read statistics of", err);
	return r < 0 ? r : boundary->stats(box, ret, err);
}

int boundary_watch_oom(struct box *box, struct cgroup_oom **ret, struct error *err)
{
	const struct boundary_ops *boundary;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->watch_oom)
		return unsupported(boundary, "tell of a container's lack of memory", err);
	r = check_not_stopped(box, "watch", err);
	return r < 0 ? r : boundary->watch_oom(box, ret, err);
}

int boundary_pids(struct box *box, pid_t **ret, size_t *ret_n, struct error *err)
{
	const struct boundary_ops *boundary;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->pids)
		return unsupported(boundary, "list the processes of a container", err);
	return boundary->pids(box, ret, ret_n, err);
}

int boundary_checkpoint(struct box *box, const struct checkpoint_request *request, struct error *err)
{
	const struct boundary_ops *boundary;
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	int r;

	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	if (!boundary->checkpoint)
		return unsupported(boundary, "checkpoint a container", err);
	r = check_running(box, "checkpoint", BOX_RUNNING, err);
	if (r == 0)
		r = box_config(box, &spec, err);
	return r < 0 ? r : boundary->checkpoint(box, spec, request, err);
}

/* A creation that was killed before it saved a record: which wall it was meant for is not known, what was asked is. */
static int delete_cut_off(struct box *box, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	struct error why = ERROR_INIT;

	if (box_config(box, &spec, &why) < 0)
		log_debug("%s", why.message); /* killed even before that: nothing was made */
	for (size_t i = 0; spec && boundaries[i]; i++)
		if (boundaries[i]->recover) {
			int r = boundaries[i]->recover(box, spec, err);

			if (r < 0)
				return r;
		}
	return box_remove(box, err);
}

int boundary_delete(struct box *box, bool force, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	const struct boundary_ops *boundary;
	enum box_status status;
	int r;

	if (!box->boundary)
		return delete_cut_off(box, err);
	r = boundary_of(box, &boundary, err);
	if (r < 0)
		return r;
	status = boundary_status(box);
	if (status != BOX_STOPPED && !force && status != BOX_CREATED)
		return error_set(err, EBUSY, "cannot delete container '%s': it is %s; stop it first or use --force", box->id,
				 box_status_string(status));
	if (box->has_poststop) {
		r = box_config(box, &spec, err);
		if (r < 0)
			log_warn("poststop hooks: %s", err ? err->message : "the configuration cannot be read");
	}
	r = boundary->destroy(box, err);
	if (r == 0)
		r = box_remove(box, err);
	if (r == 0 && spec)
		run_poststop(box, &spec->hooks.poststop);
	return r;
}
