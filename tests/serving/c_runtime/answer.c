/* Answers texts with a SavedModel in TensorFlow's C runtime, which TensorFlow Serving embeds. No Python.
 *
 * answer MODEL [REQUESTS [LIBRARY ...]]
 *   MODEL     the folder of a version
 *   REQUESTS  a file with one of these a line, tensors named as the signatures name them (operation:number):
 *               input TENSOR COLUMNS FILE   the lines of a file as strings, [lines], or [lines / COLUMNS, COLUMNS]
 *               output TENSOR
 *               run                         the end of a request: what stands above, since the request before
 *   LIBRARY   shared libraries with the operations of tensorflow_text
 * Prints each output: a line with its kind, its number of dimensions and its dimensions, then a line a value (strings as
 * hexadecimal bytes). With MODEL alone it loads the model and stops.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { MAX_LINES = 10000, MAX_TENSORS = 64 };

static TF_Status *status;

static void check(const char *what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", what, TF_Message(status));
  exit(1);
}

static FILE *open_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(2);
  }
  return file;
}

/* The output that "operation:number" names. */
static TF_Output find(TF_Graph *graph, const char *tensor) {
  char name[256];
  const char *colon = strrchr(tensor, ':');
  if (colon == NULL || (size_t)(colon - tensor) >= sizeof name) {
    fprintf(stderr, "%s is not operation:number\n", tensor);
    exit(2);
  }
  memcpy(name, tensor, colon - tensor);
  name[colon - tensor] = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (output.oper == NULL) {
    fprintf(stderr, "the graph has no operation %s\n", name);
    exit(2);
  }
  return output;
}

/* The lines of a file as a string tensor, [lines] or [lines / columns, columns]. */
static TF_Tensor *read_texts(const char *path, int64_t columns) {
  static char *lines[MAX_LINES];
  static ssize_t lengths[MAX_LINES];
  FILE *file = open_file(path);
  int64_t count = 0;
  for (size_t room = 0; count < MAX_LINES; count++, room = 0) {
    lines[count] = NULL;
    lengths[count] = getline(&lines[count], &room, file);
    if (lengths[count] < 0) break;
    if (lines[count][lengths[count] - 1] == '\n') lengths[count]--;
  }
  fclose(file);
  int64_t shape[] = {columns ? count / columns : count, columns};
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, shape, columns ? 2 : 1, count * sizeof(TF_TString));
  TF_TString *strings = TF_TensorData(tensor);
  for (int64_t row = 0; row < count; row++) {
    TF_StringInit(&strings[row]);
    TF_StringCopy(&strings[row], lines[row], lengths[row]);
  }
  return tensor;
}

static void print_string(const TF_TString *string) {
  const unsigned char *bytes = (const unsigned char *)TF_StringGetDataPointer(string);
  for (size_t place = 0; place < TF_StringGetSize(string); place++) printf("%02x", bytes[place]);
}

static void print_tensor(const TF_Tensor *tensor) {
  const void *data = TF_TensorData(tensor);
  TF_DataType type = TF_TensorType(tensor);
  const char *kind = type == TF_STRING ? "string" : type == TF_FLOAT ? "float" : type == TF_BOOL ? "bool" : "int";
  printf("%s %d", kind, TF_NumDims(tensor));
  for (int place = 0; place < TF_NumDims(tensor); place++) printf(" %" PRId64, TF_Dim(tensor, place));
  printf("\n");
  for (int64_t place = 0; place < TF_TensorElementCount(tensor); place++) {
    if (type == TF_STRING) print_string((const TF_TString *)data + place);
    else if (type == TF_FLOAT) printf("%.9g", ((const float *)data)[place]);
    else if (type == TF_BOOL) printf("%d", ((const bool *)data)[place]);
    else if (type == TF_INT32) printf("%" PRId32, ((const int32_t *)data)[place]);
    else if (type == TF_INT64) printf("%" PRId64, ((const int64_t *)data)[place]);
    else exit(2);
    printf("\n");
  }
}

/* Answers the requests of a file one after another. */
static void answer(TF_Session *session, TF_Graph *graph, const char *requests) {
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *texts[MAX_TENSORS], *answers[MAX_TENSORS];
  int num_inputs = 0, num_outputs = 0, columns;
  char line[4096], tensor[256], path[2048];
  FILE *file = open_file(requests);
  while (fgets(line, sizeof line, file) && num_inputs < MAX_TENSORS && num_outputs < MAX_TENSORS) {
    if (sscanf(line, "input %255s %d %2047s", tensor, &columns, path) == 3) {
      inputs[num_inputs] = find(graph, tensor);
      texts[num_inputs++] = read_texts(path, columns);
    } else if (sscanf(line, "output %255s", tensor) == 1) {
      outputs[num_outputs++] = find(graph, tensor);
    } else if (strcmp(line, "run\n") == 0) {
      memset(answers, 0, sizeof answers);
      TF_SessionRun(session, NULL, inputs, texts, num_inputs, outputs, answers, num_outputs, NULL, 0, NULL, status);
      check("run");
      for (int place = 0; place < num_outputs; place++) print_tensor(answers[place]);
      num_inputs = num_outputs = 0;
    }
  }
  fclose(file);
}

int main(int count, char **arguments) {
  const char *tags[] = {"serve"};
  if (count < 2) {
    fprintf(stderr, "answer MODEL [REQUESTS [LIBRARY ...]]\n");
    return 2;
  }
  status = TF_NewStatus();
  for (int place = 3; place < count; place++) {
    TF_LoadLibrary(arguments[place], status);
    check(arguments[place]);
  }
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph, NULL, status);
  check("load");
  if (count > 2) answer(session, graph, arguments[2]);
  return 0;
}
