/* Credential files and signature policies, which tools of all kinds write. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fdio.h"
#include "image/auth.h"
#include "image/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_credentials_ struct credentials credentials = {0};
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_close_ int fd = memfd_create("file", MFD_CLOEXEC);
	struct error err = ERROR_INIT;
	char path[64];

	if (fd < 0 || fd_write_all(fd, data, size) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	credentials_find(path, "registry.example.com:5000", "team/app", &credentials, &err);
	if (policy_open(path, &policy, &err) >= 0) {
		policy_check(policy, "docker", "registry.example.com:5000/team/app:v1", &err);
		policy_check(policy, "docker", "a.b.example.com/x@sha256:00", &err);
		policy_check(policy, "oci", "/a/b/c:tag", &err);
	}
	return 0;
}
