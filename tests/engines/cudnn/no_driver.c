/* A libcuda without a device: enough for cuDNN to compile and finalise plans, which it loads but never runs. */
#define LOADS(name) int name(void** made) { *made = (void*)1; return 0; }
#define DOES(name) int name(void) { return 0; }
#define REFUSES(name) int name(void) { return 100; }
LOADS(cuLibraryLoadData) LOADS(cuLibraryLoadFromFile) LOADS(cuLibraryGetKernel) LOADS(cuKernelGetFunction)
LOADS(cuModuleLoadData) LOADS(cuModuleGetFunction)
DOES(cuLibraryUnload) DOES(cuModuleUnload) DOES(cuKernelSetAttribute) DOES(cuTensorMapEncodeIm2col) DOES(cuTensorMapEncodeTiled)
REFUSES(cuCtxGetCurrent) REFUSES(cuCtxGetLimit) REFUSES(cuCtxPopCurrent) REFUSES(cuCtxPushCurrent) REFUSES(cuDeviceGet)
REFUSES(cuDeviceGetCount) REFUSES(cuLaunchCooperativeKernel) REFUSES(cuLaunchKernel) REFUSES(cuLaunchKernelEx)
REFUSES(cuLinkAddData) REFUSES(cuLinkComplete) REFUSES(cuLinkCreate) REFUSES(cuLinkDestroy) REFUSES(cuStreamGetCtx)
REFUSES(cuInit)
int cuKernelGetAttribute(int* value) { *value = 0; return 0; }
int cuOccupancyMaxPotentialClusterSize(int* size) { *size = 8; return 0; }
int cuDriverGetVersion(int* version) { *version = 13000; return 0; }
int cuGetErrorString(int error, const char** text) { *text = "there is no device"; return 0; }
int cuGetErrorName(int error, const char** text) { *text = "NO_DEVICE"; return 0; }
