// Package remote scores with models that are served elsewhere (PyTorch, TensorFlow, ONNX, …), over HTTP by the Open Inference Protocol, version 2: what
// KServe, Triton, MLServer, TorchServe and OpenVINO speak. A call's rows are one request. What a server does not answer within the deadline is an error,
// which leaves its orders degraded; nothing is tried again, since the orders of waiting callers would wait for that.
package remote
