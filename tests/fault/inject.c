/*
 * Runs a command under ptrace and makes one system call go wrong, in it or in one of the processes that it starts:
 *
 *	inject REPORT PROCESS NUMBER ERRNO COMMAND...	the NUMBERth system call of process PROCESS (0: the command itself)
 *							fails with ERRNO; NUMBER 0: none does
 *	inject REPORT PROCESS NUMBER kill COMMAND...	there the command itself is killed with SIGKILL instead
 *
 * REPORT gets a line "process INDEX CALLS" for each process and "injected INDEX NUMBER SYSCALL" when it happened. Ends
 * with the command's exit status when the command ends; what it left running goes on untraced. A process that has
 * executed another program than the command's own is let go. Calls that cannot fail are left alone, and close() and
 * munmap() are carried out all the same, as the kernel does.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PROCESSES 256

struct process {
	pid_t pid;
	int calls;
	int inside;     /* between entry and exit of a call */
	int overwrite;  /* at its exit, the result is to be the error */
	int execs;
	int gone;
};

static struct process table[MAX_PROCESSES];
static int n_processes;

static struct process *find(pid_t pid)
{
	for (int i = 0; i < n_processes; i++)
		if (table[i].pid == pid && !table[i].gone)
			return &table[i];
	if (n_processes == MAX_PROCESSES)
		exit(125);
	table[n_processes] = (struct process){ .pid = pid };
	return &table[n_processes++];
}

static int cannot_fail(long nr)
{
	switch (nr) {
	case SYS_exit:
	case SYS_exit_group:
	case SYS_rt_sigreturn:
	case SYS_getpid:
	case SYS_getppid:
	case SYS_gettid:
	case SYS_getuid:
	case SYS_geteuid:
	case SYS_getgid:
	case SYS_getegid:
	case SYS_umask:
	case SYS_arch_prctl: /* without it no static program starts */
	case SYS_set_tid_address:
		return 1;
	default:
		return 0;
	}
}

int main(int argc, char **argv)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
	int wanted_process, wanted_number, error, kill_it, result = 125, injected_nr = -1;
	FILE *report;
	pid_t first;

	if (argc < 6)
		return 125;
	wanted_process = atoi(argv[2]);
	wanted_number = atoi(argv[3]);
	kill_it = !strcmp(argv[4], "kill");
	error = kill_it ? 0 : atoi(argv[4]);
	report = fopen(argv[1], "we");
	if (!report)
		return 125;
	first = fork();
	if (first == 0) {
		raise(SIGSTOP);
		execvp(argv[5], argv + 5);
		_exit(127);
	}
	waitpid(first, NULL, WUNTRACED);
	if (ptrace(PTRACE_SEIZE, first, 0, options) < 0)
		return 125;
	kill(first, SIGCONT);
	find(first);
	for (;;) {
		struct user_regs_struct regs;
		struct process *p;
		int status, event;
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		p = find(pid);
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			p->gone = 1;
			if (pid == first) {
				result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
				break;
			}
			continue;
		}
		event = status >> 16;
		if (event == PTRACE_EVENT_STOP) {
			int sig = WSTOPSIG(status);

			/* A new tracee starts with SIGTRAP; a group stop is listened to, except the first one. */
			if (sig == SIGTRAP || pid == first)
				ptrace(PTRACE_SYSCALL, pid, 0, 0);
			else
				ptrace(PTRACE_LISTEN, pid, 0, 0);
			continue;
		}
		if (event == PTRACE_EVENT_EXEC) {
			p->execs++;
			p->inside = 1; /* the exit of execve is still to come */
			if (p != &table[0] || p->execs > 1) {
				char link[64], now[4096] = "", own[4096] = "";

				snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
				if (readlink(link, now, sizeof(now) - 1) < 0 || !realpath(argv[5], own) || strcmp(now, own) != 0) {
					ptrace(PTRACE_DETACH, pid, 0, 0);
					continue;
				}
			}
			ptrace(PTRACE_SYSCALL, pid, 0, 0);
			continue;
		}
		if (event) { /* a fork: its child reports by itself */
			ptrace(PTRACE_SYSCALL, pid, 0, 0);
			continue;
		}
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			ptrace(PTRACE_SYSCALL, pid, 0, WSTOPSIG(status));
			continue;
		}
		if (!p->inside) {
			p->inside = 1;
			/* Of the command, calls count from its first execve on. */
			if (p != &table[0] || p->execs)
				p->calls++;
			if (wanted_number && p - table == wanted_process && p->calls == wanted_number && injected_nr < 0 &&
			    (p != &table[0] || p->execs) && ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0) {
				injected_nr = (int)regs.orig_rax;
				fprintf(report, "injected %d %d %d\n", wanted_process, wanted_number, injected_nr);
				if (kill_it) {
					kill(first, SIGKILL);
				} else if (!cannot_fail(injected_nr)) {
					p->overwrite = 1;
					if (injected_nr != SYS_close && injected_nr != SYS_munmap) {
						regs.orig_rax = -1;
						ptrace(PTRACE_SETREGS, pid, 0, &regs);
					}
				}
			}
		} else {
			p->inside = 0;
			if (p->overwrite && ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0) {
				p->overwrite = 0;
				regs.rax = (unsigned long long)-error;
				ptrace(PTRACE_SETREGS, pid, 0, &regs);
			}
		}
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
	}
	for (int i = 0; i < n_processes; i++)
		fprintf(report, "process %d %d\n", i, table[i].calls);
	fclose(report);
	return result;
}
