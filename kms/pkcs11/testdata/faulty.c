/*
 * A PKCS #11 library that stands before a real one and fails as hardware does.
 * It is told what to do by files in the folder that FAULTY_FOLDER names:
 *
 *   removed    the token is out of its reader: calls answer CKR_DEVICE_REMOVED, the slot
 *              is empty, and all sessions are invalid when it comes back (the real ones stay
 *              open until they are closed: SoftHSM crashes if they end while others use them)
 *   hold       a FIFO: a signature waits until somebody opens it for writing and closes it
 *   logins     gets one byte for every C_Login of the user
 *   locked     the token says that its PIN is locked
 *   finaltry   the token says that one more wrong PIN would lock it
 *   nogcm      the token does not offer CKM_AES_GCM
 *   ownnonce   the token draws AES-GCM nonces itself
 *   nocopy     the token refuses to copy objects
 *
 * FAULTY_REAL is the path of the real library. Tests compile it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pkcs11go.h"

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;
static volatile CK_SESSION_HANDLE newest; /* of the sessions opened */
static volatile CK_SESSION_HANDLE dead;   /* newest of those that a removal ended */

static char *file(const char *name, char *path, size_t n)
{
	const char *folder = getenv("FAULTY_FOLDER");
	snprintf(path, n, "%s/%s", folder ? folder : "/nonexistent", name);
	return path;
}

static int told(const char *name)
{
	char path[4096];
	return access(file(name, path, sizeof path), F_OK) == 0;
}

static int removed(void)
{
	if (told("removed")) {
		dead = newest;
		return 1;
	}
	return 0;
}

/* What a call with a session is answered without asking the real library. */
static CK_RV state(CK_SESSION_HANDLE h)
{
	if (removed())
		return CKR_DEVICE_REMOVED;
	return h <= dead ? CKR_SESSION_HANDLE_INVALID : CKR_OK;
}

static CK_RV Initialize(CK_VOID_PTR args)
{
	newest = dead = 0; /* the real library counts its sessions anew */
	return real->C_Initialize(args);
}

static CK_RV OpenSession(CK_SLOT_ID s, CK_FLAGS f, CK_VOID_PTR a, CK_NOTIFY n, CK_SESSION_HANDLE_PTR h)
{
	CK_RV rv = removed() ? CKR_DEVICE_REMOVED : real->C_OpenSession(s, f, a, n, h);
	if (rv == CKR_OK && *h > newest)
		newest = *h;
	return rv;
}

#define WITH_SESSION(name, decl, args) \
	static CK_RV name decl { CK_RV rv = state(h); return rv != CKR_OK ? rv : real->C_##name args; }

WITH_SESSION(GetSessionInfo, (CK_SESSION_HANDLE h, CK_SESSION_INFO_PTR i), (h, i))
WITH_SESSION(FindObjectsInit, (CK_SESSION_HANDLE h, CK_ATTRIBUTE_PTR t, CK_ULONG n), (h, t, n))
WITH_SESSION(GetAttributeValue, (CK_SESSION_HANDLE h, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (h, o, t, n))
WITH_SESSION(SetAttributeValue, (CK_SESSION_HANDLE h, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (h, o, t, n))
WITH_SESSION(SignInit, (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (h, m, k))
WITH_SESSION(DecryptInit, (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (h, m, k))
WITH_SESSION(GenerateKey, (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR k), (h, m, t, n, k))
WITH_SESSION(GenerateKeyPair, (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR p, CK_ULONG pn, CK_ATTRIBUTE_PTR q, CK_ULONG qn, CK_OBJECT_HANDLE_PTR a, CK_OBJECT_HANDLE_PTR b), (h, m, p, pn, q, qn, a, b))

static CK_RV GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR n)
{
	if (present && removed()) {
		*n = 0;
		return CKR_OK;
	}
	return real->C_GetSlotList(present, slots, n);
}

static CK_RV GetTokenInfo(CK_SLOT_ID s, CK_TOKEN_INFO_PTR info)
{
	CK_RV rv = removed() ? CKR_TOKEN_NOT_PRESENT : real->C_GetTokenInfo(s, info);
	if (rv == CKR_OK && told("locked"))
		info->flags |= CKF_USER_PIN_LOCKED;
	if (rv == CKR_OK && told("finaltry"))
		info->flags |= CKF_USER_PIN_FINAL_TRY;
	return rv;
}

static CK_RV GetMechanismList(CK_SLOT_ID s, CK_MECHANISM_TYPE_PTR m, CK_ULONG_PTR n)
{
	CK_ULONG i;
	CK_RV rv = removed() ? CKR_TOKEN_NOT_PRESENT : real->C_GetMechanismList(s, m, n);
	if (rv == CKR_OK && m && told("nogcm"))
		for (i = 0; i < *n; i++)
			if (m[i] == CKM_AES_GCM)
				m[i] = CKM_AES_ECB;
	return rv;
}

static CK_RV Login(CK_SESSION_HANDLE h, CK_USER_TYPE u, CK_UTF8CHAR_PTR pin, CK_ULONG n)
{
	char path[4096];
	CK_RV rv = state(h);
	if (rv != CKR_OK)
		return rv;
	if (u == CKU_USER) {
		int fd = open(file("logins", path, sizeof path), O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (fd < 0 || write(fd, "x", 1) != 1)
			abort();
		close(fd);
	}
	return real->C_Login(h, u, pin, n);
}

static CK_RV Sign(CK_SESSION_HANDLE h, CK_BYTE_PTR d, CK_ULONG dn, CK_BYTE_PTR s, CK_ULONG_PTR sn)
{
	char path[4096], c;
	CK_RV rv = state(h);
	if (rv != CKR_OK)
		return rv;
	if (told("hold")) {
		int fd = open(file("hold", path, sizeof path), O_RDONLY);
		if (fd >= 0) {
			while (read(fd, &c, 1) > 0)
				;
			close(fd);
		}
	}
	return real->C_Sign(h, d, dn, s, sn);
}

static CK_RV EncryptInit(CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k)
{
	static CK_BYTE count;
	CK_RV rv = state(h);
	if (rv != CKR_OK)
		return rv;
	if (m->mechanism == CKM_AES_GCM && told("ownnonce")) {
		CK_GCM_PARAMS *p = m->pParameter;
		memset(p->pIv, 0xa5, p->ulIvLen);
		p->pIv[0] = ++count;
	}
	return real->C_EncryptInit(h, m, k);
}

static CK_RV CopyObject(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR c)
{
	CK_RV rv = state(h);
	if (rv != CKR_OK)
		return rv;
	if (told("nocopy"))
		return CKR_FUNCTION_NOT_SUPPORTED;
	return real->C_CopyObject(h, o, t, n, c);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out_list)
{
	if (!real) {
		const char *path = getenv("FAULTY_REAL");
		void *lib = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
		CK_C_GetFunctionList get = lib ? (CK_C_GetFunctionList)dlsym(lib, "C_GetFunctionList") : NULL;
		if (!get || get(&real) != CKR_OK)
			return CKR_GENERAL_ERROR;
		list = *real;
#define FAULTY(name) list.C_##name = name
		FAULTY(OpenSession);
		FAULTY(GetSessionInfo);
		FAULTY(FindObjectsInit);
		FAULTY(GetAttributeValue);
		FAULTY(SetAttributeValue);
		FAULTY(SignInit);
		FAULTY(DecryptInit);
		FAULTY(GenerateKeyPair);
		FAULTY(Initialize);
		FAULTY(GenerateKey);
		FAULTY(GetSlotList);
		FAULTY(GetTokenInfo);
		FAULTY(GetMechanismList);
		FAULTY(Login);
		FAULTY(Sign);
		FAULTY(EncryptInit);
		FAULTY(CopyObject);
	}
	*out_list = &list;
	return CKR_OK;
}
