#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/path.h"
#include "host/terminal.h"
#include "jail/channel.h"
#include "jail/jail.h"

int jail_make_gate(int dir_fd, const char *path, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct fd_path dir = fd_path(dir_fd);

	if (sock < 0)
		return error_sys(err, errno, "cannot make a socket");
	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir.s, path) >= (int)sizeof(address.sun_path))
		return error_set(err, ENAMETOOLONG, "the name of the start gate '%s' is too long", path);
	if (bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(sock, 1) < 0)
		return error_sys(err, errno, "cannot make the start gate");
	return take_fd(&sock);
}

int jail_release(int dir_fd, const char *path, struct error *err)
{
	_cleanup_close_ int sock = socket_connect(dir_fd, path, SOCK_SEQPACKET, err);
	struct channel_message m;
	int fd, r;

	if (sock < 0)
		return sock;
	r = channel_receive(sock, &m, &fd);
	safe_close(fd);
	if (r < 0)
		return error_sys(err, r, "cannot hear from the container's process");
	if (r == 0) /* closed by execve */
		return 0;
	return channel_error(&m, err);
}
