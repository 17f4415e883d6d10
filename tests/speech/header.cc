// utter.h from C++: it compiles, links against the shared library and speaks.
#include "utter.h"

#include <cstring>
#include <vector>

static bool append(void *user, const float *samples, size_t n) {
    auto *heard = static_cast<std::vector<float> *>(user);
    heard->insert(heard->end(), samples, samples + n);
    return true;
}

int main() {
    utter_engine *engine = nullptr;
    utter_voice *voice = nullptr;
    utter_stream *stream = nullptr;
    utter_error err;
    std::vector<float> heard;
    const char *text = "Hello from another language.";
    utter_status status = utter_engine_create(nullptr, &engine, &err);
    if (status == UTTER_OK) {
        status = utter_voice_open(engine, "espeak", nullptr, &voice, &err);
    }
    if (status == UTTER_OK) {
        status = utter_stream_create(voice, &stream, &err);
    }
    if (status == UTTER_OK) {
        status = utter_stream_speak(stream, text, std::strlen(text), nullptr, append, &heard, nullptr, &err);
    }
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return status == UTTER_OK && heard.size() > 10000 ? 0 : 1;
}
