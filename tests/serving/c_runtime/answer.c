/* Answers texts with a SavedModel in TensorFlow's C runtime, which TensorFlow Serving embeds. No Python.
 *
 * answer MODEL TEXTS INPUT LABEL SCORES [LIBRARY ...]
 *   MODEL    the folder of a version
 *   TEXTS    a file with one text a line
 *   INPUT    the tensor of the text, as the signature names it: operation:number
 *   LABEL    the tensor of the labels
 *   SCORES   the tensor of the scores
 *   LIBRARY  shared libraries with the operations of tensorflow_text
 * Prints a line a text: the label and the scores, separated by tabs. With MODEL alone it loads the model and stops.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { MAX_TEXTS = 10000 };

static TF_Status *status;

static void check(const char *what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", what, TF_Message(status));
  exit(1);
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

/* The lines of a file as a string tensor [lines]. */
static TF_Tensor *read_texts(const char *path) {
  static char *lines[MAX_TEXTS];
  static ssize_t lengths[MAX_TEXTS];
  FILE *file = fopen(path, "rb");
  int64_t count = 0;
  if (file == NULL) {
    perror(path);
    exit(2);
  }
  for (size_t room = 0; count < MAX_TEXTS; count++, room = 0) {
    lengths[count] = getline(&lines[count], &room, file);
    if (lengths[count] < 0) break;
    if (lines[count][lengths[count] - 1] == '\n') lengths[count]--;
  }
  fclose(file);
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, &count, 1, count * sizeof(TF_TString));
  TF_TString *strings = TF_TensorData(tensor);
  for (int64_t row = 0; row < count; row++) {
    TF_StringInit(&strings[row]);
    TF_StringCopy(&strings[row], lines[row], lengths[row]);
  }
  return tensor;
}

static void print_answers(const TF_Tensor *label, const TF_Tensor *scores) {
  const TF_TString *labels = TF_TensorData(label);
  const float *values = TF_TensorData(scores);
  int64_t rows = TF_Dim(scores, 0), columns = TF_Dim(scores, 1);
  for (int64_t row = 0; row < rows; row++) {
    printf("%.*s", (int)TF_StringGetSize(&labels[row]), TF_StringGetDataPointer(&labels[row]));
    for (int64_t column = 0; column < columns; column++) printf("\t%.9g", values[row * columns + column]);
    printf("\n");
  }
}

int main(int count, char **arguments) {
  const char *tags[] = {"serve"};
  if (count != 2 && count < 6) {
    fprintf(stderr, "answer MODEL TEXTS INPUT LABEL SCORES [LIBRARY ...]\n");
    return 2;
  }
  status = TF_NewStatus();
  for (int place = 6; place < count; place++) {
    TF_LoadLibrary(arguments[place], status);
    check(arguments[place]);
  }
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph, NULL, status);
  check("load");
  if (count == 2) return 0;
  TF_Output input = find(graph, arguments[3]);
  TF_Output outputs[] = {find(graph, arguments[4]), find(graph, arguments[5])};
  TF_Tensor *texts = read_texts(arguments[2]), *answers[2] = {NULL, NULL};
  TF_SessionRun(session, NULL, &input, &texts, 1, outputs, answers, 2, NULL, 0, NULL, status);
  check("run");
  print_answers(answers[0], answers[1]);
  return 0;
}
