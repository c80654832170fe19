/* What the keys about hooks say together, and the key that signs posts. */
#include <errno.h>
#include <sys/stat.h>

#include "server/config_load.h"
#include "server/hook_post.h"

/* NULL for one that can be run. */
static const char *fault_of_program(const char *path)
{
	struct stat found;
	if (path[0] != '/') {
		return "must be a path from the root, with a / in front, or https://";
	}
	if (stat(path, &found) != 0) {
		return strerror(errno);
	}
	return S_ISREG(found.st_mode) && (found.st_mode & 0111) ? NULL : "is no program";
}

static bool check_hook(struct config_load *load, const char *key, struct config_hook *hook)
{
	if (hook->narguments == 0) {
		return true;
	}
	struct span first = hook->argument[0];
	hook->is_post = memmem(first.ptr, first.len, "://", 3) != NULL && first.ptr[0] != '/';
	const char *reason = hook->is_post ? hook_post_fault(first)
	                                   : fault_of_program(first.ptr);
	if (reason) {
		return config_load_fail_key(load, key, 1, "\"%.80s\": %s", first.ptr, reason);
	}
	if (hook->is_post && hook->narguments > 1) {
		return config_load_fail_key(load, key, 2, "an address has no arguments");
	}
	return !hook->is_post || load->config->hook_key_file ||
	       config_load_fail_key(load, "hook_key_file", 0, "is needed by %s", key);
}

/* Whoever knows the key can tell others of suspensions that never were. */
static bool check_key(struct config_load *load)
{
	const char *path = load->config->hook_key_file;
	struct stat found;
	return !path || stat(path, &found) != 0 || !(found.st_mode & (S_IROTH | S_IWOTH)) ||
	       config_load_fail_key(load, "hook_key_file", 0,
	                            "\"%.80s\": anybody may read it, or write to it", path);
}

bool config_check_hooks(struct config_load *load)
{
	struct config *config = load->config;
	return check_hook(load, "on_suspend", &config->on_suspend) &&
	       check_hook(load, "on_unlock", &config->on_unlock) && check_key(load) &&
	       config_read_secret(load, "hook_key_file", config->hook_key_file,
	                          &config->hook_key);
}
