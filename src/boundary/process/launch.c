#include <sys/prctl.h>

#include "base/strv.h"
#include "boundary/process/process.h"
#include "boundary/process/profile.h"

void process_launch_free(struct process_launch *launch)
{
	process_setup_free(&launch->setup);
	jailed_process_free(&launch->jailed);
	free(launch->filter);
	free(launch->second_filter);
	free(launch->program);
	free(launch->cwd);
	launch->ruleset = safe_close(launch->ruleset);
	launch->jail.gate_fd = safe_close(launch->jail.gate_fd);
	launch->jail.process.console_socket = safe_close(launch->jail.process.console_socket);
}

/* In the child, the last step before its filter: no way back from here. */
static int confine(void *data, struct error *err)
{
	const struct process_launch *l = data;
	int r = 0;

	if (l->ruleset >= 0) {
		/* Only now is it known which process "self" is. In another root there is none, or the image's. */
		if (l->setup.view != PROCESS_VIEW_CHROOT)
			r = landlock_ruleset_add(l->ruleset, "/proc/self", LANDLOCK_PATH_READ, err);
		if (r == 0)
			r = landlock_enforce(l->ruleset, err);
	}
	if (r == 0 && l->second_filter)
		r = seccomp_install(l->filter, NULL, err);
	return r;
}

static struct seccomp_policy *build_profile(const void *data)
{
	const struct process_setup *setup = data;

	return process_profile(&setup->policy, &setup->host);
}

static int prepare_filters(const struct oci_spec *spec, struct process_launch *l, struct error *err)
{
	_cleanup_free_ char *cache = NULL;
	char description[PROCESS_PROFILE_DESCRIPTION];
	int r;

	if (!l->setup.host.seccomp)
		return 0; /* the floor does without */
	process_profile_describe(&l->setup.policy, &l->setup.host, description);
	r = seccomp_cache_dir(&cache, err);
	if (r == 0)
		r = seccomp_build_cached(cache, description, build_profile, &l->setup, &l->filter, err);
	if (r == 0 && spec->linux_.seccomp)
		r = seccomp_compile_cached(cache, spec->linux_.seccomp, &l->second_filter, err);
	if (r < 0)
		return r;
	l->jail.process.seccomp = l->second_filter ? l->second_filter : l->filter;
	return 0;
}

static int prepare_ruleset(const struct box *box, const struct oci_spec *spec, const struct oci_process *process,
			   struct process_launch *l, struct error *err)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = { 0 };
	int r;

	if (l->setup.host.landlock == 0)
		return 0; /* the floor does without */
	r = process_grants(&l->setup, box->rootfs, spec->root.readonly, process->terminal, &rules, err);
	if (r == 0)
		r = l->ruleset = landlock_make_ruleset(&rules, err);
	return r < 0 ? r : 0;
}

/* The program and its directory by host path. */
static int prepare_paths(const struct box *box, const struct oci_process *process, struct process_launch *l, struct error *err)
{
	int r = process_find_program(box->rootfs, process, &l->program, err);

	if (r < 0)
		return r;
	if (asprintf(&l->cwd, "%s/%s", box->rootfs, process->cwd) < 0) {
		l->cwd = NULL;
		return error_oom(err);
	}
	l->jail.process.program = l->program;
	l->jail.process.cwd = l->cwd;
	return 0;
}

int process_launch_prepare(const struct box *box, const struct oci_spec *spec, const struct oci_process *process,
			   struct process_launch *l, struct error *err)
{
	struct jail_process *p = &l->jail.process;
	int r;

	r = process_setup(spec, &l->setup, err);
	if (r == 0)
		r = process_setup_check(&l->setup, err);
	if (r == 0)
		r = jailed_translate(spec, process, &l->jailed, p, err);
	if (r == 0)
		r = prepare_filters(spec, l, err);
	if (r == 0)
		r = prepare_ruleset(box, spec, process, l, err);
	if (r == 0 && l->setup.view == PROCESS_VIEW_PATH)
		r = prepare_paths(box, process, l, err);
	if (r < 0)
		return r;
	if (l->setup.view == PROCESS_VIEW_CHROOT)
		l->jail.chroot = box->rootfs;
	l->jail.rootless = geteuid() != 0;
	p->no_new_privs = true;
	p->confine = confine;
	p->confine_data = l;
	return 0;
}
