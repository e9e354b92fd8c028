#include "image/rootless.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "host/idmap.h"
#include "host/subid.h"
#include "host/userns.h"

static bool is_single(const struct id_maps *maps)
{
	return maps->n <= 1 && (maps->n == 0 || maps->v[0].count <= 1);
}

/*
 * The maps must be written from outside, by newuidmap(1): a child that stays outside does it for us, once we are in the
 * new namespace. Its exit status and its last words tell how it went.
 */
static int enter_with_maps(const struct id_maps *uids, const struct id_maps *gids, struct error *err)
{
	struct error told = ERROR_INIT;
	int go[2], answer[2], status;
	pid_t self = getpid(), child;
	ssize_t n;
	char c;

	if (pipe2(go, O_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot make a pipe");
	if (pipe2(answer, O_CLOEXEC) < 0) {
		close(go[0]);
		close(go[1]);
		return error_sys(err, errno, "cannot make a pipe");
	}
	child = fork();
	if (child == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) == 1 && userns_write_maps(self, uids, gids, &told) >= 0)
			_exit(0);
		n = write(answer[1], &told, sizeof(told));
		_exit(n == sizeof(told) ? 1 : 2);
	}
	close(go[0]);
	close(answer[1]);
	if (child < 0 || unshare(CLONE_NEWUSER) < 0) {
		int r = error_sys(err, errno, "cannot make a user namespace, which images need without root");

		close(go[1]); /* the child reads its end and leaves */
		close(answer[0]);
		if (child > 0)
			waitpid(child, NULL, 0);
		return r;
	}
	n = write(go[1], "", 1);
	close(go[1]);
	n = read(answer[0], &told, sizeof(told));
	close(answer[0]);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for a child");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (n != sizeof(told))
		return error_set(err, EIO, "the IDs of the user namespace were not set");
	if (err)
		*err = told;
	return -told.code;
}

int rootless_enter(bool *ret_single_id, struct error *err)
{
	struct id_maps uids = {0}, gids = {0};
	int r;

	*ret_single_id = false;
	if (geteuid() == 0)
		return 0;
	r = subid_maps(&uids, &gids, err);
	if (r >= 0) {
		*ret_single_id = is_single(&uids) || is_single(&gids);
		if (*ret_single_id)
			log_debug(
			    "this user has no subordinate IDs (/etc/subuid): all files of images will belong to it");
		r = enter_with_maps(&uids, &gids, err);
	}
	free(uids.v);
	free(gids.v);
	return r;
}
