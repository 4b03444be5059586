package org.tensorflow.lite;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.Map;

public final class Interpreter implements AutoCloseable {
  public static class Options {
    public Options setNumThreads(int numThreads) {
      return this;
    }

    public Options setUseXNNPACK(boolean useXNNPACK) {
      return this;
    }
  }

  public Interpreter(File modelFile, Options options) {}

  public Interpreter(ByteBuffer byteBuffer, Options options) {}

  public void runSignature(
      Map<String, Object> inputs, Map<String, Object> outputs, String signatureKey) {}

  public String[] getSignatureKeys() {
    return null;
  }

  @Override
  public void close() {}
}
