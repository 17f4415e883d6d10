/* Loading the text side: ALBERT, the duration predictor, the text encoder. Their tensors come first
 * and say how wide the rest of the model is; what config.json states besides must agree. */
#include <stdio.h>

#include "base/checked.h"
#include "models/kokoro/kokoro_model.h"

/* What torch's modules were made with; no file states them. */
#define ALBERT_EPS 1e-12f
#define CHANNEL_EPS 1e-5f

enum { NAME_SIZE = 96 };

static utter_status check_stated(const char *key, int stated, int found, utter_error *err) {
    if (stated && stated != found) {
        return ut_fail(
            err, UTTER_ERROR_FORMAT,
            "config.json contradicts the weights: %s is %d there, %d in the tensors: they belong "
            "to different models",
            key, stated, found);
    }
    return UTTER_OK;
}

static utter_status load_norm(struct kokoro_loader *loader, const char *module, const char *gamma,
                              const char *beta, float eps, int n, struct ut_norm *out,
                              utter_error *err) {
    char name[NAME_SIZE];
    float *scale = NULL, *shift = NULL;
    snprintf(name, sizeof name, "%s.%s", module, gamma);
    utter_status status = ut_kokoro_load_values(loader, name, (size_t)n, &scale, err);
    if (status == UTTER_OK) {
        snprintf(name, sizeof name, "%s.%s", module, beta);
        status = ut_kokoro_load_values(loader, name, (size_t)n, &shift, err);
    }
    *out = (struct ut_norm){scale, shift, eps};
    return status;
}

static utter_status load_albert_norm(struct kokoro_loader *loader, const char *module, int n,
                                     struct ut_norm *out, utter_error *err) {
    return load_norm(loader, module, "weight", "bias", ALBERT_EPS, n, out, err);
}

/* A table with n_columns columns, or as many as it has where n_columns is 0. */
static utter_status load_table(struct kokoro_loader *loader, const char *name, int *n_rows,
                               int *n_columns, float **out, utter_error *err) {
    int dims[UT_MAX_DIMS];
    utter_status status = ut_kokoro_load_shape(loader, name, 2, dims, err);
    if (status == UTTER_OK && *n_columns && dims[1] != *n_columns) {
        status = ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s has %d columns, expected %d", name,
                         dims[1], *n_columns);
    }
    if (status) {
        return status;
    }
    *n_rows = dims[0];
    *n_columns = dims[1];
    return ut_kokoro_load_values(loader, name, (size_t)dims[0] * (size_t)dims[1], out, err);
}

/* Kokoro has one kind of token: its row is added to every word's. */
static utter_status add_token_type(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_albert *albert = &loader->model->albert;
    struct ut_arena_mark mark = ut_arena_mark(&loader->model->weights);
    float *types;
    int n_types;
    utter_status status = load_table(loader, "bert.embeddings.token_type_embeddings.weight",
                                     &n_types, &albert->n_embed, &types, err);
    size_t n = (size_t)loader->model->info.n_token * (size_t)albert->n_embed;
    for (size_t i = 0; status == UTTER_OK && i < n; i++) {
        albert->words[i] += types[i % (size_t)albert->n_embed];
    }
    ut_arena_rewind(&loader->model->weights, mark);
    return status;
}

static utter_status load_embeddings(struct kokoro_loader *loader, utter_error *err) {
    struct ut_kokoro *model = loader->model;
    struct kokoro_albert *albert = &model->albert;
    utter_status status = load_table(loader, "bert.embeddings.word_embeddings.weight",
                                     &model->info.n_token, &albert->n_embed, &albert->words, err);
    status =
        status ? status : check_stated("n_token", model->config.n_token, model->info.n_token, err);
    status = status ? status : add_token_type(loader, err);
    status = status ? status
                    : load_table(loader, "bert.embeddings.position_embeddings.weight",
                                 &albert->n_positions, &albert->n_embed, &albert->positions, err);
    status = status ? status
                    : check_stated("max_position_embeddings", model->config.max_positions,
                                   albert->n_positions, err);
    status = status ? status
                    : load_albert_norm(loader, "bert.embeddings.LayerNorm", albert->n_embed,
                                       &albert->embed_norm, err);
    model->info.max_ids = UT_MIN(UT_KOKORO_MAX_IDS, albert->n_positions);
    return status;
}

static utter_status load_albert_layer(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_albert *albert = &loader->model->albert;
    int n = albert->n_hidden;
    const struct {
        const char *name;
        struct ut_layer *out;
    } square[] = {{"bert.layer.attention.query", &albert->query},
                  {"bert.layer.attention.key", &albert->key},
                  {"bert.layer.attention.value", &albert->value},
                  {"bert.layer.attention.dense", &albert->dense}};
    utter_status status = UTTER_OK;
    for (size_t i = 0; status == UTTER_OK && i < UT_COUNT(square); i++) {
        status = ut_kokoro_load_layer(loader, square[i].name, n, n, 1, true, square[i].out, err);
    }
    status = status ? status
                    : load_albert_norm(loader, "bert.layer.attention.LayerNorm", n,
                                       &albert->attention_norm, err);
    status = status ? status
                    : ut_kokoro_load_layer(loader, "bert.layer.ffn", KOKORO_ANY, n, 1, true,
                                           &albert->ffn, err);
    status = status ? status
                    : ut_kokoro_load_layer(loader, "bert.layer.ffn_output", n, albert->ffn.n_out, 1,
                                           true, &albert->ffn_output, err);
    return status ? status
                  : load_albert_norm(loader, "bert.layer.full_layer_layer_norm", n,
                                     &albert->full_norm, err);
}

static utter_status load_albert(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_albert *albert = &loader->model->albert;
    utter_status status = load_embeddings(loader, err);
    status = status ? status
                    : ut_kokoro_load_layer(loader, "bert.encoder.embedding_hidden_mapping_in",
                                           KOKORO_ANY, albert->n_embed, 1, true, &albert->embed_map,
                                           err);
    if (status) {
        return status;
    }
    albert->n_hidden = albert->embed_map.n_out;
    int n_heads = loader->model->config.n_heads;
    if (n_heads < 1 || albert->n_hidden % n_heads) {
        return ut_fail(
            err, UTTER_ERROR_FORMAT,
            "config.json contradicts the weights: %d attention heads do not divide a width of %d",
            n_heads, albert->n_hidden);
    }
    return load_albert_layer(loader, err);
}

/* The hidden width comes from the projection behind ALBERT, the style's from the first adaptive
 * norm. */
static utter_status load_widths(struct kokoro_loader *loader, utter_error *err) {
    struct ut_kokoro *model = loader->model;
    int dims[UT_MAX_DIMS];
    utter_status status =
        ut_kokoro_load_layer(loader, "bert_encoder", KOKORO_ANY, model->albert.n_hidden, 1, true,
                             &model->predictor.bert_encoder, err);
    status = status ? status
                    : ut_kokoro_load_shape(loader, "predictor.text_encoder.lstms.1.fc.weight", 2,
                                           dims, err);
    if (status) {
        return status;
    }
    model->info.hidden_dim = model->predictor.bert_encoder.n_out;
    model->info.style_dim = dims[1];
    if (model->info.hidden_dim % 2) {
        return ut_fail(
            err, UTTER_ERROR_FORMAT,
            "tensor bert_encoder.weight has %d rows: two directions of an LSTM cannot share them",
            model->info.hidden_dim);
    }
    status = check_stated("hidden_dim", model->config.hidden_dim, model->info.hidden_dim, err);
    return status ? status
                  : check_stated("style_dim", model->config.style_dim, model->info.style_dim, err);
}

/* How many layers there are: PREFIX.0.SUFFIX, PREFIX.<step>.SUFFIX and so on, up to the first that
 * is missing. config.json states the same number for every stack. */
static utter_status count_layers(struct kokoro_loader *loader, const char *prefix,
                                 const char *suffix, int step, int *n, utter_error *err) {
    char name[NAME_SIZE];
    for (*n = 0; *n <= KOKORO_MAX_LAYERS; ++*n) {
        snprintf(name, sizeof name, "%s.%d.%s", prefix, *n * step, suffix);
        if (!ut_kokoro_tensor_exists(loader->tensors, name)) {
            break;
        }
    }
    if (*n < 1 || *n > KOKORO_MAX_LAYERS) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "tensor %s is %s: a Kokoro model has 1 to %d such layers", name,
                       *n < 1 ? "missing" : "one too many", (int)KOKORO_MAX_LAYERS);
    }
    return check_stated("n_layer", loader->model->config.n_layer, *n, err);
}

static utter_status load_duration_layer(struct kokoro_loader *loader, int index, utter_error *err) {
    struct ut_kokoro *model = loader->model;
    int hidden = model->info.hidden_dim, n_style = model->info.style_dim;
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "predictor.text_encoder.lstms.%d", 2 * index);
    utter_status status = ut_kokoro_load_lstm(loader, name, hidden + n_style, hidden / 2, false,
                                              &model->predictor.lstms[index], err);
    if (status) {
        return status;
    }
    snprintf(name, sizeof name, "predictor.text_encoder.lstms.%d.fc", 2 * index + 1);
    return ut_kokoro_load_layer(loader, name, 2 * hidden, n_style, 1, true,
                                &model->predictor.norms[index], err);
}

static utter_status load_predictor(struct kokoro_loader *loader, utter_error *err) {
    struct ut_kokoro *model = loader->model;
    struct kokoro_duration_predictor *predictor = &model->predictor;
    int hidden = model->info.hidden_dim;
    utter_status status = count_layers(loader, "predictor.text_encoder.lstms", "weight_ih_l0", 2,
                                       &predictor->n_layers, err);
    for (int i = 0; status == UTTER_OK && i < predictor->n_layers; i++) {
        status = load_duration_layer(loader, i, err);
    }
    status = status ? status
                    : ut_kokoro_load_lstm(loader, "predictor.lstm", hidden + model->info.style_dim,
                                          hidden / 2, false, &predictor->lstm, err);
    status = status
                 ? status
                 : ut_kokoro_load_layer(loader, "predictor.duration_proj.linear_layer", KOKORO_ANY,
                                        hidden, 1, true, &predictor->duration_proj, err);
    return status ? status
                  : check_stated("max_dur", model->config.max_dur, predictor->duration_proj.n_out,
                                 err);
}

static utter_status load_cnn(struct kokoro_loader *loader, int index, utter_error *err) {
    struct kokoro_text_encoder *encoder = &loader->model->text_encoder;
    struct ut_layer *conv = &encoder->cnn[index].conv;
    int hidden = loader->model->info.hidden_dim;
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "text_encoder.cnn.%d.0", index);
    utter_status status =
        ut_kokoro_load_conv(loader, name, hidden, hidden, KOKORO_ANY, true, KOKORO_HALF, conv, err);
    if (status == UTTER_OK && conv->n_taps % 2 == 0) {
        status = ut_fail(err, UTTER_ERROR_FORMAT,
                         "tensor %s.weight has %d taps: an odd number keeps the length", name,
                         conv->n_taps);
    }
    if (status) {
        return status;
    }
    snprintf(name, sizeof name, "text_encoder.cnn.%d.1", index);
    return load_norm(loader, name, "gamma", "beta", CHANNEL_EPS, hidden, &encoder->cnn[index].norm,
                     err);
}

static utter_status load_text_encoder(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_text_encoder *encoder = &loader->model->text_encoder;
    int hidden = loader->model->info.hidden_dim, n_token = loader->model->info.n_token;
    size_t n_values = (size_t)n_token * (size_t)hidden;
    utter_status status = ut_kokoro_load_values(loader, "text_encoder.embedding.weight", n_values,
                                                &encoder->embedding, err);
    status = status ? status
                    : count_layers(loader, "text_encoder.cnn", "0.weight", 1, &encoder->n_cnn, err);
    for (int i = 0; status == UTTER_OK && i < encoder->n_cnn; i++) {
        status = load_cnn(loader, i, err);
    }
    return status ? status
                  : ut_kokoro_load_lstm(loader, "text_encoder.lstm", hidden, hidden / 2, true,
                                        &encoder->lstm, err);
}

utter_status ut_kokoro_load_text(struct kokoro_loader *loader, utter_error *err) {
    utter_status status = load_albert(loader, err);
    status = status ? status : load_widths(loader, err);
    status = status ? status : load_predictor(loader, err);
    return status ? status : load_text_encoder(loader, err);
}
