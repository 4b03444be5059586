package androidx.camera.view;

import androidx.camera.core.CameraSelector;
import androidx.camera.core.ImageAnalysis;
import java.util.concurrent.Executor;

public abstract class CameraController {
  public CameraSelector getCameraSelector() {
    return null;
  }

  public void setCameraSelector(CameraSelector cameraSelector) {}

  public void setImageAnalysisAnalyzer(Executor executor, ImageAnalysis.Analyzer analyzer) {}

  public void clearImageAnalysisAnalyzer() {}
}
