// What Flux and everyone else who uses kstatus make of objects: the real libraries, on one stream.
//
// Reads JSON values from standard input, {"object": ..., "expressions": ...} each, and writes one
// line of JSON for each: what kstatus computes of the object, and what Flux's kustomize-controller
// does with its healthCheckExprs. A failed question is answered, too: in "error".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type question struct {
	Object      json.RawMessage                  `json:"object"`
	Expressions kustomize.HealthCheckExpressions `json:"expressions"`
}

type answer struct {
	Status  string `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	Flux    string `json:"flux,omitempty"`
	Error   string `json:"error,omitempty"`
}

func main() {
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	answers := json.NewEncoder(os.Stdout)
	for {
		var asked question
		err := questions.Decode(&asked)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			log.Fatalf("a question is no JSON: %v", err)
		}
		found, err := compute(asked)
		if err != nil {
			found.Error = err.Error()
		}
		if err := answers.Encode(found); err != nil {
			log.Fatalf("the answer cannot be written: %v", err)
		}
	}
}

func compute(asked question) (answer, error) {
	// Its own decoder, because the libraries want whole numbers as int64.
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(asked.Object); err != nil {
		return answer{}, err
	}
	result, err := status.Compute(object)
	if err != nil {
		return answer{}, err
	}
	found := answer{Status: result.Status.String(), Message: result.Message}
	if asked.Expressions.Current == "" {
		return found, nil
	}
	evaluator, err := cel.NewStatusEvaluator(&asked.Expressions)
	if err != nil {
		return found, err
	}
	flux, err := evaluator.Evaluate(context.Background(), object)
	if err != nil {
		return found, err
	}
	found.Flux = flux.Status.String()
	return found, nil
}
