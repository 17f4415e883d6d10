/* espeak-ng 1.51 creates a sound device when its own voice first speaks, although utter takes the
 * samples by callback and plays nothing through it: libpcaudio then connects to PulseAudio, whose
 * client makes folders and threads and ends the process when closing one of its files fails. No
 * setting of espeak-ng prevents that (espeak_ng_InitializeOutput calls it in every mode), and
 * without that call it does not speak.
 *
 * The dynamic linker looks in the program first, so that espeak-ng finds this function in place of
 * libpcaudio's, and no device is "no sound hardware", which its other functions all take. It is
 * part of the program and not of the library: one that is linked into other people's programs must
 * not take a function away from them. utter plays through PortAudio. */
struct audio_object;

__attribute__((visibility("default"))) struct audio_object *
create_audio_device_object(const char *device, const char *application, const char *description);

struct audio_object *create_audio_device_object(const char *device, const char *application,
                                                const char *description) {
    return 0;
}
