/* What one of the stand-in plugins needs and the loader does not find. */
__attribute__((visibility("default"))) int fake_library(void);

int fake_library(void) {
    return 0;
}
