/* The JSON beside a voice and the safetensors file of a house voice; see voice_builder.h. Source of
 * the format: the safetensors README (8-byte header length, JSON header, data without holes). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/voice_builder.h"

static int by_name(const void *a, const void *b) {
    const struct voice_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void put_safetensors_header(struct byte_buffer *header,
                                   const struct voice_tensor *const *sorted, size_t n,
                                   size_t element) {
    size_t offset = 0;
    byte_buffer_printf(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        const struct voice_tensor *tensor = sorted[i];
        byte_buffer_printf(header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                           tensor->written_as ? tensor->written_as : tensor->name,
                           element == 2 ? "F16" : "F32");
        for (int d = 0; d < tensor->n_dims; d++) {
            byte_buffer_printf(header, "%s%lld", d ? "," : "", (long long)tensor->dims[d]);
        }
        size_t end = offset + tensor->n * element;
        byte_buffer_printf(header, "],\"data_offsets\":[%zu,%zu]}", offset, end);
        offset = end;
    }
    byte_buffer_printf(header, "}");
    while (header->n % 8 != 0) {
        byte_buffer_append_u8(header, ' ');
    }
}

void voice_write_safetensors(const struct voice *voice, bool half, struct byte_buffer *out) {
    const struct voice_tensor **sorted =
        test_alloc(voice->n_tensors * sizeof(struct voice_tensor *));
    size_t n = 0;
    for (size_t i = 0; i < voice->n_tensors; i++) {
        if (!voice->tensors[i].dropped) {
            sorted[n++] = &voice->tensors[i];
        }
    }
    qsort(sorted, n, sizeof *sorted, by_name);
    struct byte_buffer header = {0};
    put_safetensors_header(&header, sorted, n, half ? 2 : 4);
    uint64_t n_header = header.n;
    byte_buffer_append(out, &n_header, sizeof n_header);
    byte_buffer_append(out, header.data, header.n);
    byte_buffer_free(&header);
    for (size_t i = 0; i < n; i++) {
        for (size_t e = 0; half && e < sorted[i]->n; e++) {
            uint16_t bits = voice_to_half(sorted[i]->data[e]);
            byte_buffer_append(out, &bits, sizeof bits);
        }
        if (!half) {
            byte_buffer_append(out, sorted[i]->data, sorted[i]->n * sizeof(float));
        }
    }
    free(sorted);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void put_ints(struct byte_buffer *out, const int *values, int n) {
    byte_buffer_printf(out, "[");
    for (int i = 0; i < n; i++) {
        byte_buffer_printf(out, "%s%d", i ? ", " : "", values[i]);
    }
    byte_buffer_printf(out, "]");
}

/* Pad, begin and end as every voice has them, then letters. */
static void put_symbols(struct byte_buffer *out, int n_vocab) {
    static const char symbols[] = "_^$ .,!?abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0";
    byte_buffer_printf(out, " \"phoneme_id_map\": {");
    for (int i = 0; i < n_vocab && symbols[i]; i++) {
        byte_buffer_printf(out, "%s\"%c\": [%d]", i ? ", " : "", symbols[i], i);
    }
    byte_buffer_printf(out, "},\n");
}

static void put_house_model(struct byte_buffer *out, const struct voice_spec *s) {
    byte_buffer_printf(out, " \"hop_length\": %d,\n", voice_spec_hop(s));
    byte_buffer_printf(out,
                       " \"model\": {\"kernel\": %d, \"window\": %d, \"flow_n\": %d, "
                       "\"flow_kernel\": %d, \"flow_layers\": %d,\n",
                       s->ffn_kernel, s->window, s->n_couplings, s->wn_kernel, s->n_wn_layers);
    byte_buffer_printf(out,
                       "  \"dp\": \"det\", \"dp_filter\": %d, \"dp_kernel\": %d, \"n_vocab\": %d, "
                       "\"n_speakers\": %d, \"hop\": %d, \"sr\": %d,\n",
                       s->n_dp_filter, s->dp_kernel, s->n_vocab, s->n_speakers, voice_spec_hop(s),
                       s->sample_rate_hz);
    byte_buffer_printf(out,
                       "  \"hidden\": %d, \"inter\": %d, \"filter\": %d, \"heads\": %d, "
                       "\"layers\": %d, \"up_init\": %d, \"gin\": %d,\n",
                       s->n_hidden, s->n_inter, s->n_filter, s->n_heads, s->n_layers, s->n_decoder,
                       s->n_gin ? s->n_gin : 16);
    byte_buffer_printf(out, "  \"up_rates\": ");
    put_ints(out, s->rates, s->n_stages);
    byte_buffer_printf(out, ", \"up_kernels\": ");
    put_ints(out, s->up_kernels, s->n_stages);
    byte_buffer_printf(out, ", \"res_kernels\": ");
    put_ints(out, s->kernels, s->n_kernels);
    byte_buffer_printf(out, ", \"res_dil\": [");
    for (int i = 0; i < s->n_kernels; i++) {
        byte_buffer_printf(out, "%s", i ? ", " : "");
        put_ints(out, s->dilations[i], s->n_dilations);
    }
    byte_buffer_printf(out, "]},\n");
}

void voice_write_json(const struct voice *voice, struct byte_buffer *out) {
    const struct voice_spec *s = &voice->spec;
    byte_buffer_printf(out, "{\n \"audio\": {\"sample_rate\": %d, \"quality\": \"%s\"},\n",
                       s->sample_rate_hz, s->quality);
    byte_buffer_printf(out,
                       " \"espeak\": {\"voice\": \"en-us\"},\n"
                       " \"language\": {\"code\": \"en_US\"},\n"
                       " \"inference\": {\"noise_scale\": 0.667, \"length_scale\": 1, "
                       "\"noise_w\": %s},\n",
                       s->house ? "0" : "0.8");
    byte_buffer_printf(out, " \"phoneme_type\": \"espeak\",\n \"phoneme_map\": {},\n");
    put_symbols(out, s->n_vocab);
    if (s->house) {
        put_house_model(out, s);
    }
    byte_buffer_printf(out, " \"num_symbols\": %d,\n \"num_speakers\": %d,\n \"speaker_id_map\": {",
                       s->n_vocab, s->n_speakers);
    for (int i = 0; s->n_speakers > 1 && i < s->n_speakers; i++) {
        byte_buffer_printf(out, "%s\"speaker%d\": %d", i ? ", " : "", i, i);
    }
    byte_buffer_printf(out, "},\n \"dataset\": \"random\"\n}\n");
}

void voice_replace_text(struct byte_buffer *buffer, const char *from, const char *to) {
    const uint8_t *at = memmem(buffer->data, buffer->n, from, strlen(from));
    if (!at) {
        fprintf(stderr, "test support: nothing to replace: %s\n", from);
        exit(99);
    }
    struct byte_buffer old = *buffer;
    size_t n_before = (size_t)(at - old.data), n_from = strlen(from);
    *buffer = (struct byte_buffer){0};
    byte_buffer_append(buffer, old.data, n_before);
    byte_buffer_append(buffer, to, strlen(to));
    byte_buffer_append(buffer, old.data + n_before + n_from, old.n - n_before - n_from);
    byte_buffer_free(&old);
}
