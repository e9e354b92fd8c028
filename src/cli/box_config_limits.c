/* Docker's resource options as the runtime-spec's. */

#include "cli/box_config.h"

enum { CPU_PERIOD_USEC = 100000 };

/* "1.5" CPUs as a quota of the period, without floating point surprises: at most three decimals count. */
static int parse_cpus(const char *text, int64_t *ret_milli)
{
	int64_t whole = 0, milli = 0, scale = 100;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if ((whole = whole * 10 + (*p - '0')) > 100000)
			return -EINVAL;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
			milli += (*p - '0') * scale;
	if (*p || p == text || whole * 1000 + milli < 10)
		return -EINVAL;
	*ret_milli = whole * 1000 + milli;
	return 0;
}

static int set_cpu(const struct run_options *o, struct cgroup_resources *r, struct error *err)
{
	int64_t milli;

	if (o->cpus && (o->cpu_quota.given || o->cpu_period.given))
		return error_set(err, EINVAL, "--cpus and --cpu-quota or --cpu-period exclude each other");
	if (o->cpus) {
		if (parse_cpus(o->cpus, &milli) < 0)
			return error_set(err, EINVAL, "option --cpus: '%s' is not a number of CPUs of at least 0.01, such as 1.5",
					 o->cpus);
		r->cpu.period = (struct opt_u64){ true, CPU_PERIOD_USEC };
		r->cpu.quota = (struct opt_i64){ true, milli * (CPU_PERIOD_USEC / 1000) };
	}
	if (o->cpu_quota.given)
		r->cpu.quota = (struct opt_i64){ true, o->cpu_quota.v };
	if (o->cpu_period.given)
		r->cpu.period = (struct opt_u64){ true, (uint64_t)o->cpu_period.v };
	if (o->cpu_shares.given)
		r->cpu.shares = (struct opt_u64){ true, (uint64_t)o->cpu_shares.v };
	if (oci_set_string(&r->cpu.cpus, o->cpuset_cpus) < 0 || oci_set_string(&r->cpu.mems, o->cpuset_mems) < 0)
		return error_oom(err);
	return 0;
}

static int set_memory(const struct run_options *o, struct cgroup_resources *r, struct error *err)
{
	if (o->memory_swap.given && !o->memory.given)
		return error_set(err, EINVAL, "--memory-swap needs --memory");
	if (o->memory_swap.given && o->memory_swap.v != -1 && o->memory_swap.v < o->memory.v)
		return error_set(err, EINVAL, "--memory-swap is memory and swap together: it cannot be below --memory");
	if (o->memory.given)
		r->memory.limit = (struct opt_i64){ true, o->memory.v };
	if (o->memory_swap.given)
		r->memory.swap = (struct opt_i64){ true, o->memory_swap.v };
	if (o->memory_reservation.given)
		r->memory.reservation = (struct opt_i64){ true, o->memory_reservation.v };
	if (o->swappiness.given)
		r->memory.swappiness = (struct opt_u64){ true, (uint64_t)o->swappiness.v };
	if (o->oom_kill_disable)
		r->memory.disable_oom_killer = (struct opt_bool){ true, true };
	return 0;
}

int box_config_limits(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	struct cgroup_resources *r = &spec->linux_.resources;

	if (o->pids_limit.given)
		r->pids.limit = (struct opt_i64){ true, o->pids_limit.v ? o->pids_limit.v : -1 };
	if (o->blkio_weight.given)
		r->blkio.weight = (struct opt_u64){ true, (uint64_t)o->blkio_weight.v };
	return set_cpu(o, r, err) < 0 || set_memory(o, r, err) < 0 ? -err->code : 0;
}
