/*
 * Named places where a test may let the process die as if by kill -9. Compiled in with the
 * build option `hooks` only. GATEPOST_KILL="name" or "name:3" in the environment: die when the
 * place is reached (the third time).
 */
#ifndef GATEPOST_STORE_KILLPOINT_H
#define GATEPOST_STORE_KILLPOINT_H

#ifdef GATEPOST_HOOKS
void killpoint(const char *name);
#define KILLPOINT(name) killpoint(name)
#else
#define KILLPOINT(name) ((void)0)
#endif

#endif
