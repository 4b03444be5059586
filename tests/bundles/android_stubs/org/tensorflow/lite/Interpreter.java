package org.tensorflow.lite;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
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

  /** As LiteRT's: a mapped file or a direct buffer in native order, from its first byte on. */
  public Interpreter(ByteBuffer byteBuffer, Options options) {
    boolean usable = byteBuffer.isDirect() && byteBuffer.order() == ByteOrder.nativeOrder();
    ByteBuffer whole = byteBuffer.duplicate();
    whole.clear();
    if (!usable && !(byteBuffer instanceof MappedByteBuffer))
      throw new IllegalArgumentException("neither mapped nor direct in native order");
    if (whole.get(4) != 'T' || whole.get(5) != 'F' || whole.get(6) != 'L')
      throw new IllegalArgumentException("no model at the start of the buffer");
  }

  public void runSignature(
      Map<String, Object> inputs, Map<String, Object> outputs, String signatureKey) {}

  public String[] getSignatureKeys() {
    return null;
  }

  @Override
  public void close() {}
}
